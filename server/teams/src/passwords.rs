//! Passwords of teams: Argon2id with the parameters the crate recommends (OWASP's first choice: 19 MiB, 2 passes).

use argon2::password_hash::phc::PasswordHash;
use argon2::{Algorithm, Argon2, Block, Params, Version};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD_NO_PAD;
use subtle::ConstantTimeEq as _;

use crate::lane::{Lane, Line, Memory};
use crate::{Error, Field, StartError};

/// Fewest characters of a new password. Older ones that are shorter still open their teams.
pub(crate) const LEAST_CHARS: usize = 12;
/// Longest password that is hashed.
pub(crate) const MAX_BYTES: usize = 1024;
/// Bytes of the salt and of the hash.
const SALT_BYTES: usize = 16;
const HASH_BYTES: usize = 32;

#[derive(Debug)]
pub(crate) struct Hasher {
    lane: Lane,
    /// Verified when there is nothing to verify against, so that a wrong slug takes as long as a wrong password.
    decoy: String,
}

impl Hasher {
    pub(crate) fn new() -> Result<Self, StartError> {
        // A well-formed hash of a random password, which nobody knows; made without hashing so that start stays quick.
        let (mut salt, mut hash) = ([0; SALT_BYTES], [0; HASH_BYTES]);
        getrandom::fill(&mut salt).and_then(|()| getrandom::fill(&mut hash)).map_err(StartError::Random)?;
        Ok(Self { lane: Lane::default(), decoy: text(&salt, &hash) })
    }

    /// Hashes a new password.
    pub(crate) async fn hash(&self, line: Line, password: String) -> Result<String, Error> {
        let mut salt = [0; SALT_BYTES];
        getrandom::fill(&mut salt).map_err(Error::Random)?;
        self.lane
            .run(line, move |memory| {
                let mut hash = [0; HASH_BYTES];
                digest(&Params::DEFAULT, &password, &salt, &mut hash, memory)?;
                Ok(text(&salt, &hash))
            })
            .await
    }

    /// Whether `password` is the one of `hash`; without a hash the same work is done for nothing. `admit` is asked once it is this one's turn:
    /// what failed while it waited counts.
    pub(crate) async fn verify(
        &self,
        line: Line,
        password: String,
        hash: Option<String>,
        admit: impl FnOnce() -> Result<(), Error> + Send + 'static,
    ) -> Result<bool, Error> {
        let known = hash.is_some();
        let hash = hash.unwrap_or_else(|| self.decoy.clone());
        self.lane
            .run(line, move |memory| {
                admit()?;
                Ok(is_of(&password, &hash, memory)? && known)
            })
            .await
    }
}

/// Refuses a new password that is too short or too long.
pub(crate) fn check(password: &str) -> Result<(), Error> {
    let problem = match password.chars().count() {
        0 => Field::Missing,
        1..LEAST_CHARS => Field::TooShort { least: LEAST_CHARS },
        _ if password.len() > MAX_BYTES => Field::TooLong { most: MAX_BYTES },
        _ => return Ok(()),
    };
    Err(Error::field("password", problem))
}

/// The hash as it is kept: <https://github.com/P-H-C/phc-string-format/blob/master/phc-sf-spec.md>.
fn text(salt: &[u8], hash: &[u8]) -> String {
    let (m, t, p) = (Params::DEFAULT_M_COST, Params::DEFAULT_T_COST, Params::DEFAULT_P_COST);
    let (salt, hash) = (STANDARD_NO_PAD.encode(salt), STANDARD_NO_PAD.encode(hash));
    format!("$argon2id$v=19$m={m},t={t},p={p}${salt}${hash}")
}

fn is_of(password: &str, hash: &str, memory: &mut Memory) -> Result<bool, Error> {
    let parsed = PasswordHash::new(hash).map_err(Error::hashing)?;
    let params = Params::try_from(&parsed).map_err(Error::hashing)?;
    let (Some(salt), Some(wanted)) = (&parsed.salt, &parsed.hash) else { return Ok(false) };
    let mut found = vec![0; wanted.len()];
    digest(&params, password, salt.as_ref(), &mut found, memory)?;
    Ok(found.ct_eq(wanted.as_bytes()).into())
}

fn digest(
    params: &Params,
    password: &str,
    salt: &[u8],
    hash: &mut [u8],
    memory: &mut Memory,
) -> Result<(), Error> {
    if memory.len() < params.block_count() {
        memory.resize(params.block_count(), Block::new());
    }
    Argon2::new(Algorithm::Argon2id, Version::V0x13, params.clone())
        .hash_password_into_with_memory(password.as_bytes(), salt, hash, memory)
        .map_err(Error::hashing)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::lane::Purpose;

    const LINE: Line = (Purpose::Login, None);

    #[tokio::test]
    async fn only_the_right_password_of_a_known_team_passes() {
        let hasher = Hasher::new().unwrap();
        let hash = hasher.hash(LINE, "open sesame".to_owned()).await.unwrap();
        assert!(hash.starts_with("$argon2id$v=19$m=19456,t=2,p=1$"), "{hash}");
        let tries = [
            ("open sesame", Some(hash.clone()), true),
            ("open", Some(hash), false),
            ("open sesame", None, false),
        ];
        for (password, hash, passes) in tries {
            assert_eq!(hasher.verify(LINE, password.to_owned(), hash, || Ok(())).await.unwrap(), passes);
        }
    }

    #[tokio::test]
    async fn a_hash_that_was_made_with_other_costs_is_still_understood() {
        // Of "open sesame", with 64 KiB and 3 passes.
        let (salt, mut hash) = ([7; SALT_BYTES], [0; 24]);
        let params = Params::new(64, 3, 1, Some(24)).unwrap();
        digest(&params, "open sesame", &salt, &mut hash, &mut Memory::new()).unwrap();
        let (salt, hash) = (STANDARD_NO_PAD.encode(salt), STANDARD_NO_PAD.encode(hash));
        let kept = format!("$argon2id$v=19$m=64,t=3,p=1${salt}${hash}");
        let hasher = Hasher::new().unwrap();
        assert!(hasher.verify(LINE, "open sesame".to_owned(), Some(kept.clone()), || Ok(())).await.unwrap());
        assert!(!hasher.verify(LINE, "open".to_owned(), Some(kept), || Ok(())).await.unwrap());
    }

    #[test]
    fn a_new_password_has_twelve_characters_at_least() {
        for good in ["twelve chars", "zwölf Zeich.", &"x".repeat(MAX_BYTES)] {
            check(good).unwrap();
        }
        for bad in ["", "eleven char", &"x".repeat(MAX_BYTES + 1)] {
            assert!(check(bad).is_err(), "{bad:?}");
        }
    }
}
