//! What a browser or a command line keeps for this server until it comes back: sealed, so that it can neither be read nor changed.
//!
//! A sign-in that has not ended is kept by whoever began it, and costs this server no memory: strangers may begin as many as they like. The key
//! is of the process, so a restart ends what was not finished.

use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use minitower_vocabulary::time::Timestamp;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::Error;
use crate::seal::{Key, Place};

/// Longest sealed text that is opened, in bytes.
const MOST_BYTES: usize = 128 * 1024;

/// What a sealed text is for: one cannot stand in for another.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Purpose {
    /// `state` of a request to the provider.
    State,
    /// The form that asks the person to confirm.
    Ticket,
    /// A device code.
    Device,
}

impl Purpose {
    const fn place(self) -> Place<'static> {
        Place::SignIn(match self {
            Self::State => "state",
            Self::Ticket => "ticket",
            Self::Device => "device",
        })
    }
}

/// A sealed text cannot be opened.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum NotOpened {
    /// It is none of this process.
    Unknown,
    /// It is too old.
    Expired,
}

/// Seals and opens.
#[derive(Debug)]
pub(crate) struct Seal(Key);

#[derive(Serialize, Deserialize)]
struct Sealed<T> {
    until: i64,
    value: T,
}

impl Seal {
    /// With a key of its own.
    pub(crate) fn new() -> Result<Self, Error> {
        Ok(Self(Key::generate()?))
    }

    /// Seals a value for as long as `life`.
    pub(crate) fn seal<T: Serialize>(
        &self,
        purpose: Purpose,
        value: &T,
        now: Timestamp,
        life: Duration,
    ) -> Result<String, Error> {
        let sealed = Sealed { until: now.plus(life).0, value };
        let text = serde_json::to_vec(&sealed).map_err(|_| Error::Sealing)?;
        Ok(URL_SAFE_NO_PAD.encode(self.0.seal(purpose.place(), &text)?))
    }

    /// Opens what was sealed for this purpose.
    pub(crate) fn open<T: DeserializeOwned>(
        &self,
        purpose: Purpose,
        sealed: &str,
        now: Timestamp,
    ) -> Result<T, NotOpened> {
        if sealed.len() > MOST_BYTES {
            return Err(NotOpened::Unknown);
        }
        let sealed = URL_SAFE_NO_PAD.decode(sealed).map_err(|_| NotOpened::Unknown)?;
        let opened = self.0.open(purpose.place(), &sealed).ok_or(NotOpened::Unknown)?;
        let Sealed { until, value } = serde_json::from_slice(&opened).map_err(|_| NotOpened::Unknown)?;
        if until <= now.0 { Err(NotOpened::Expired) } else { Ok(value) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIFE: Duration = Duration::from_secs(10);

    #[test]
    fn what_was_sealed_is_opened_until_its_end_for_its_purpose_and_by_its_process() {
        let (seal, other) = (Seal::new().unwrap(), Seal::new().unwrap());
        let sealed = seal.seal(Purpose::State, &"secret", Timestamp(0), LIFE).unwrap();
        assert!(!sealed.contains("secret"));
        let open = |seal: &Seal, purpose, at| seal.open::<String>(purpose, &sealed, Timestamp(at));
        assert_eq!(open(&seal, Purpose::State, 9_999), Ok("secret".to_owned()));
        assert_eq!(open(&seal, Purpose::State, 10_000), Err(NotOpened::Expired));
        assert_eq!(open(&seal, Purpose::Ticket, 0), Err(NotOpened::Unknown));
        assert_eq!(open(&other, Purpose::State, 0), Err(NotOpened::Unknown));
    }

    #[test]
    fn nonsense_is_not_opened() {
        let seal = Seal::new().unwrap();
        let sealed = seal.seal(Purpose::State, &"secret", Timestamp(0), LIFE).unwrap();
        let cut = &sealed[..sealed.len() - 1];
        for nonsense in ["", "a", "!", "AAAAAAAAAAAAAAAAAAAAAAAAAAAA", cut, &"A".repeat(MOST_BYTES + 1)] {
            assert_eq!(seal.open::<String>(Purpose::State, nonsense, Timestamp(0)), Err(NotOpened::Unknown));
        }
    }
}
