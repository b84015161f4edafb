//! How secrets are encrypted: AES-256-GCM (NIST SP 800-38D) with a random nonce, and with the place of what is encrypted as additional
//! authenticated data.
//!
//! A team's key encrypts the team's secrets, a master key the keys of teams. Random nonces of 96 bits are safe for 2^32 messages under one
//! key (section 8.3), far more than a team ever sets.

use std::fmt;

use aes_gcm::aead::{Aead as _, Payload};
use aes_gcm::{Aes256Gcm, KeyInit as _, Nonce};
use minitower_vocabulary::ids::{EnvironmentId, TeamId};
use sha2::{Digest as _, Sha256};
use zeroize::Zeroizing;

use crate::Error;

/// Bytes of a key.
pub(crate) const KEY_BYTES: usize = 32;
/// Bytes of a nonce, which stands in front of what is encrypted.
const NONCE_BYTES: usize = 12;

/// SHA-256 that names a key. Keys are random, so it says nothing about them.
pub(crate) type KeyId = [u8; 32];

/// A key. Its bytes are wiped when it is dropped.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct Key(Zeroizing<[u8; KEY_BYTES]>);

/// Where something encrypted belongs: it opens nowhere else.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Place<'a> {
    /// The key of a team.
    TeamKey(TeamId),
    /// The value of a secret.
    Secret(TeamId, EnvironmentId, &'a str),
    /// What another subject keeps for a team, and what it is.
    Kept(TeamId, &'a str),
    /// What a browser or a command line keeps for the server while somebody signs in, and what for.
    SignIn(&'a str),
}

impl Place<'_> {
    /// Bytes that no other place has: only the last part has a length of its own.
    fn bytes(&self) -> Vec<u8> {
        match *self {
            Self::TeamKey(team) => [b"minitower team key 1\0".as_slice(), &team.0.to_be_bytes()].concat(),
            Self::Secret(team, environment, name) => {
                let ids = [team.0.to_be_bytes(), environment.0.to_be_bytes()].concat();
                [b"minitower secret 1\0".as_slice(), &ids, name.as_bytes()].concat()
            }
            Self::Kept(team, what) => {
                [b"minitower kept 1\0".as_slice(), &team.0.to_be_bytes(), what.as_bytes()].concat()
            }
            Self::SignIn(purpose) => [b"minitower sign-in 1\0".as_slice(), purpose.as_bytes()].concat(),
        }
    }
}

impl Key {
    /// A new key.
    pub(crate) fn generate() -> Result<Self, Error> {
        let mut bytes = Zeroizing::new([0; KEY_BYTES]);
        getrandom::fill(bytes.as_mut_slice()).map_err(Error::Random)?;
        Ok(Self(bytes))
    }

    /// The key of these bytes, if there are as many as a key has.
    pub(crate) fn of(bytes: &[u8]) -> Option<Self> {
        let mut key = Zeroizing::new([0; KEY_BYTES]);
        (bytes.len() == KEY_BYTES).then(|| key.copy_from_slice(bytes))?;
        Some(Self(key))
    }

    /// What names it.
    pub(crate) fn id(&self) -> KeyId {
        let mut hash = Sha256::new();
        hash.update(b"minitower master key 1\0");
        hash.update(self.bytes());
        hash.finalize().into()
    }

    /// Its bytes.
    pub(crate) fn bytes(&self) -> &[u8] {
        self.0.as_slice()
    }

    /// Encrypts.
    pub(crate) fn seal(&self, place: Place<'_>, plain: &[u8]) -> Result<Vec<u8>, Error> {
        let mut nonce = [0; NONCE_BYTES];
        getrandom::fill(&mut nonce).map_err(Error::Random)?;
        let payload = Payload { msg: plain, aad: &place.bytes() };
        let sealed = self.cipher().encrypt(&Nonce::from(nonce), payload).map_err(|_| Error::Sealing)?;
        Ok([nonce.as_slice(), &sealed].concat())
    }

    /// Decrypts; none: it was changed, or was encrypted with another key or for another place.
    pub(crate) fn open(&self, place: Place<'_>, sealed: &[u8]) -> Option<Zeroizing<Vec<u8>>> {
        let (nonce, sealed) = sealed.split_first_chunk::<NONCE_BYTES>()?;
        let payload = Payload { msg: sealed, aad: &place.bytes() };
        self.cipher().decrypt(&Nonce::from(*nonce), payload).ok().map(Zeroizing::new)
    }

    fn cipher(&self) -> Aes256Gcm {
        Aes256Gcm::new(&(*self.0).into())
    }
}

impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Key(…)")
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test may panic")]
mod tests {
    use super::*;

    const HERE: Place<'_> = Place::Secret(TeamId(1), EnvironmentId(2), "A");

    #[test]
    fn what_was_sealed_opens_in_its_place_with_its_key() {
        let key = Key::generate().unwrap();
        let sealed = key.seal(HERE, b"hunter2").unwrap();
        assert_eq!(sealed.len(), 12 + 7 + 16);
        assert_eq!(key.open(HERE, &sealed).unwrap().as_slice(), b"hunter2");
        assert_ne!(key.seal(HERE, b"hunter2").unwrap(), sealed, "each time with another nonce");
        assert!(Key::generate().unwrap().open(HERE, &sealed).is_none());
    }

    #[test]
    fn it_opens_in_no_other_place() {
        let key = Key::generate().unwrap();
        let sealed = key.seal(HERE, b"hunter2").unwrap();
        for place in [
            Place::Secret(TeamId(2), EnvironmentId(2), "A"),
            Place::Secret(TeamId(1), EnvironmentId(1), "A"),
            Place::Secret(TeamId(1), EnvironmentId(2), "B"),
            Place::Secret(TeamId(1), EnvironmentId(2), "AA"),
            Place::TeamKey(TeamId(1)),
        ] {
            assert!(key.open(place, &sealed).is_none(), "{place:?}");
        }
    }

    #[test]
    fn every_bit_counts() {
        let key = Key::generate().unwrap();
        let sealed = key.seal(HERE, b"hunter2").unwrap();
        for bit in 0..sealed.len() * 8 {
            let mut changed = sealed.clone();
            changed[bit / 8] ^= 1 << (bit % 8);
            assert!(key.open(HERE, &changed).is_none(), "bit {bit}");
        }
        for length in 0..sealed.len() {
            assert!(key.open(HERE, &sealed[..length]).is_none(), "{length} bytes");
        }
    }

    #[test]
    fn a_key_is_never_shown() {
        let key = Key::of(&[7; KEY_BYTES]).unwrap();
        assert_eq!(format!("{key:?}"), "Key(…)");
        assert!(Key::of(&[7; KEY_BYTES - 1]).is_none());
        assert_ne!(key.id(), Key::of(&[8; KEY_BYTES]).unwrap().id());
    }
}
