//! A secret from the configuration.

use std::fmt;

use sha2::{Digest as _, Sha256};
use subtle::ConstantTimeEq as _;

/// A token that callers present. Only its SHA-256 is kept, so that it cannot be printed, and so that comparing
/// takes the same time whatever was presented.
#[derive(Clone)]
pub struct Secret([u8; 32]);

impl Secret {
    /// Keeps the token's hash.
    pub fn new(token: &str) -> Self {
        Self(Sha256::digest(token).into())
    }

    /// Whether this is the token.
    pub fn matches(&self, presented: &str) -> bool {
        let hash: [u8; 32] = Sha256::digest(presented).into();
        self.0.ct_eq(&hash).into()
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("Secret")
    }
}
