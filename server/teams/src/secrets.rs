//! Tokens: how they are made, and compared without telling where they differ.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq as _;

use crate::Error;

/// SHA-256 of a token: all that is kept of one.
pub type TokenHash = [u8; 32];

/// What a generated token is for; the prefix lets people and secret scanners tell them apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// A team token, `mtk_…`.
    Team,
    /// A runner token, `mtr_…`.
    Runner,
    /// A team's registration token, `mtg_…`.
    Registration,
    /// A lease token, `mtl_…`.
    Lease,
    /// The API token of an attempt, `mta_…`.
    Attempt,
    /// What a command line polls with while a person signs in, `mtd_…`.
    Device,
    /// What a page fetches the token of a person with who has signed in, `mth_…`.
    HandOver,
}

impl Kind {
    pub(crate) const fn prefix(self) -> &'static str {
        match self {
            Self::Team => "mtk_",
            Self::Runner => "mtr_",
            Self::Registration => "mtg_",
            Self::Lease => "mtl_",
            Self::Attempt => "mta_",
            Self::Device => "mtd_",
            Self::HandOver => "mth_",
        }
    }
}

/// Whether a token is one of this kind, if it is good at all.
pub fn is_of_kind(token: &str, kind: Kind) -> bool {
    token.starts_with(kind.prefix())
}

/// A fresh token and its hash. The token is shown once and never kept.
pub fn generate(kind: Kind) -> Result<(String, TokenHash), Error> {
    let mut bytes = [0_u8; 32];
    getrandom::fill(&mut bytes).map_err(Error::Random)?;
    let token = format!("{}{}", kind.prefix(), URL_SAFE_NO_PAD.encode(bytes));
    let hash = hash(&token);
    Ok((token, hash))
}

/// Hash of a token. A token has 256 random bits, so a fast hash without salt keeps it secret.
pub fn hash(token: &str) -> TokenHash {
    Sha256::digest(token.as_bytes()).into()
}

/// A configured token. Only its hash is held; comparing takes the same time wherever the tokens differ.
#[derive(Clone)]
pub struct Secret(TokenHash);

impl Secret {
    /// Takes a configured token; an empty one is none.
    pub fn new(token: &str) -> Option<Self> {
        (!token.is_empty()).then(|| Self(hash(token)))
    }

    /// Whether `token` is this one.
    pub fn matches(&self, token: &str) -> bool {
        self.0.ct_eq(&hash(token)).into()
    }
}

impl std::fmt::Debug for Secret {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Secret(…)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tokens_have_their_prefix_and_256_random_bits() {
        let (a, hash_a) = generate(Kind::Team).unwrap();
        let (b, _) = generate(Kind::Team).unwrap();
        assert!(a.starts_with("mtk_") && a.len() == 4 + 43 && a != b);
        assert_eq!(hash(&a), hash_a);
        assert!(!a.contains('='));
    }

    #[test]
    fn a_prefix_of_a_secret_or_nothing_is_not_the_secret() {
        let secret = Secret::new("correct horse").unwrap();
        assert!(secret.matches("correct horse"));
        for wrong in ["", "correct", "correct horse ", "Correct horse"] {
            assert!(!secret.matches(wrong), "{wrong:?}");
        }
        assert!(Secret::new("").is_none());
        assert!(!format!("{secret:?}").contains("horse"));
    }
}
