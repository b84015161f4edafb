//! Passwords of teams: Argon2id with the parameters the crate recommends (OWASP's first choice: 19 MiB, 2 passes).

use std::time::Duration;

use argon2::password_hash::phc::PasswordHash;
use argon2::{Argon2, PasswordHasher as _, PasswordVerifier as _};
use tokio::sync::{Semaphore, SemaphorePermit};

use crate::{Error, StartError};

/// Each hash takes 19 MiB for a few dozen milliseconds; more at once would let strangers fill the memory.
const AT_ONCE: usize = 2;
/// Longest wait for a turn.
const WAIT: Duration = Duration::from_secs(10);
/// Longest password that is hashed.
pub(crate) const MAX_BYTES: usize = 1024;

#[derive(Debug)]
pub(crate) struct Hasher {
    permits: Semaphore,
    /// Verified when there is nothing to verify against, so that a wrong slug takes as long as a wrong password.
    decoy: String,
}

impl Hasher {
    pub(crate) fn new() -> Result<Self, StartError> {
        // A well-formed hash of a random password, which nobody knows; made without hashing so that start stays quick.
        let mut bytes = [0_u8; 48];
        getrandom::fill(&mut bytes).map_err(StartError::Random)?;
        let encode = |b: &[u8]| {
            use base64::Engine as _;
            base64::engine::general_purpose::STANDARD_NO_PAD.encode(b)
        };
        let decoy =
            format!("$argon2id$v=19$m=19456,t=2,p=1${}${}", encode(&bytes[..16]), encode(&bytes[16..]));
        Ok(Self { permits: Semaphore::new(AT_ONCE), decoy })
    }

    pub(crate) async fn hash(&self, password: String) -> Result<String, Error> {
        let _permit = self.turn().await?;
        let hashed = tokio::task::spawn_blocking(move || {
            Argon2::default().hash_password(password.as_bytes()).map(|h| h.to_string())
        });
        hashed.await.map_err(Error::hashing)?.map_err(Error::hashing)
    }

    /// Whether `password` is the one of `hash`; without a hash the same work is done for nothing. `admit` is asked once it is this one's turn:
    /// what failed while it waited counts.
    pub(crate) async fn verify(
        &self,
        password: String,
        hash: Option<String>,
        admit: impl FnOnce() -> Result<(), Error>,
    ) -> Result<bool, Error> {
        let _permit = self.turn().await?;
        admit()?;
        let known = hash.is_some();
        let hash = hash.unwrap_or_else(|| self.decoy.clone());
        let verified = tokio::task::spawn_blocking(move || {
            PasswordHash::new(&hash)
                .map(|parsed| Argon2::default().verify_password(password.as_bytes(), &parsed).is_ok())
        });
        let matches = verified.await.map_err(Error::hashing)?.map_err(Error::hashing)?;
        Ok(matches && known)
    }

    async fn turn(&self) -> Result<SemaphorePermit<'_>, Error> {
        tokio::time::timeout(WAIT, self.permits.acquire())
            .await
            .map_err(|_| Error::Busy)?
            .map_err(Error::hashing)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn only_the_right_password_of_a_known_team_passes() {
        let hasher = Hasher::new().unwrap();
        let hash = hasher.hash("open sesame".to_owned()).await.unwrap();
        assert!(hash.starts_with("$argon2id$v=19$m=19456,t=2,p=1$"), "{hash}");
        assert!(hasher.verify("open sesame".to_owned(), Some(hash.clone()), || Ok(())).await.unwrap());
        assert!(!hasher.verify("open".to_owned(), Some(hash), || Ok(())).await.unwrap());
        assert!(!hasher.verify("open sesame".to_owned(), None, || Ok(())).await.unwrap());
    }
}
