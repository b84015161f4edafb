//! Signatures of what is sent, as Standard Webhooks has them
//! (<https://github.com/standard-webhooks/standard-webhooks/blob/main/spec/standard-webhooks.md>).

use std::fmt;

use data_encoding::BASE64;
use hmac::{Hmac, KeyInit as _, Mac as _};
use minitower_vocabulary::time::Timestamp;
use sha2::Sha256;

/// What a key's text begins with.
const PREFIX: &str = "whsec_";
/// Fewest and most bytes of a key.
const BYTES: std::ops::RangeInclusive<usize> = 24..=64;
/// Bytes of a new key.
const NEW_BYTES: usize = 32;

/// A key that signs. It is never shown but by [`SigningKey::reveal`].
#[derive(Clone, PartialEq, Eq)]
pub struct SigningKey(Vec<u8>);

impl fmt::Debug for SigningKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SigningKey(…)")
    }
}

/// A text that is not a key. It is not quoted: it may be one that somebody uses elsewhere.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("must be `whsec_` and the base64 of 24 to 64 random bytes; leave it out, and the server makes one")]
pub struct NotAKey;

impl SigningKey {
    /// A new key.
    pub fn generate() -> Result<Self, getrandom::Error> {
        let mut key = vec![0; NEW_BYTES];
        getrandom::fill(&mut key)?;
        Ok(Self(key))
    }

    /// Reads a key: `whsec_…`.
    pub fn parse(text: &str) -> Result<Self, NotAKey> {
        let encoded = text.strip_prefix(PREFIX).ok_or(NotAKey)?;
        let key = BASE64.decode(encoded.as_bytes()).map_err(|_| NotAKey)?;
        BYTES.contains(&key.len()).then_some(Self(key)).ok_or(NotAKey)
    }

    /// Its text, for whoever has to check signatures.
    pub fn reveal(&self) -> String {
        format!("{PREFIX}{}", BASE64.encode(&self.0))
    }

    fn sign(&self, (id, seconds): (&str, i64), body: &[u8]) -> String {
        // An HMAC takes keys of every length.
        let Ok(mut mac) = Hmac::<Sha256>::new_from_slice(&self.0) else { return String::new() };
        mac.update(format!("{id}.{seconds}.").as_bytes());
        mac.update(body);
        format!("v1,{}", BASE64.encode(&mac.finalize().into_bytes()))
    }
}

/// How a request is signed.
#[derive(Debug, Clone)]
pub struct Signing {
    /// What is sent, always the same for the same thing, so that its receiver knows it again.
    pub id: String,
    /// When this is sent.
    pub at: Timestamp,
    /// Each adds a signature, so that a receiver can go from one key to the next.
    pub keys: Vec<SigningKey>,
}

impl Signing {
    /// The headers of a signed body.
    pub(super) fn headers(&self, body: &[u8]) -> [(&'static str, String); 3] {
        let seconds = self.at.0.div_euclid(1000);
        let signatures: Vec<String> =
            self.keys.iter().map(|key| key.sign((&self.id, seconds), body)).collect();
        [
            ("webhook-id", self.id.clone()),
            ("webhook-timestamp", seconds.to_string()),
            ("webhook-signature", signatures.join(" ")),
        ]
    }
}

#[cfg(test)]
mod tests {
    use standardwebhooks::Webhook;

    use super::*;

    #[test]
    fn signatures_are_those_of_the_specification() {
        // Of the specification's own tests.
        let key = SigningKey::parse("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw").unwrap();
        let body = br#"{"test": 2432232314}"#;
        let signed = key.sign(("msg_p5jXN8AQM9LWM0D4loKWxJek", 1_614_265_330), body);
        assert_eq!(signed, "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=");
    }

    #[test]
    fn a_library_of_others_verifies_each_of_several_signatures() {
        let keys = [SigningKey::generate().unwrap(), SigningKey::generate().unwrap()];
        let at = crate::clock::Clock::start().now();
        let signing = Signing { id: "msg_1".to_owned(), at, keys: keys.to_vec() };
        let mut headers = http::HeaderMap::new();
        for (name, value) in signing.headers(b"{}") {
            headers.insert(name, value.parse().unwrap());
        }
        for key in &keys {
            let other = Webhook::new(&key.reveal()).unwrap();
            other.verify(b"{}", &headers).unwrap();
            other.verify(b"{ }", &headers).expect_err("another body");
        }
    }

    #[test]
    fn a_key_is_read_back_and_nothing_else_is_one() {
        let key = SigningKey::generate().unwrap();
        assert_eq!(SigningKey::parse(&key.reveal()).unwrap(), key);
        assert!(!format!("{key:?}").contains(&key.reveal()[6..]));
        let short = format!("whsec_{}", BASE64.encode(&[1; 23]));
        let long = format!("whsec_{}", BASE64.encode(&[1; 65]));
        for text in ["", "whsec_", "whsec_!!!!", &key.reveal()[6..], &short, &long] {
            assert_eq!(SigningKey::parse(text), Err(NotAKey), "{text}");
        }
        for bytes in [24, 64] {
            assert!(SigningKey::parse(&format!("whsec_{}", BASE64.encode(&vec![1; bytes]))).is_ok());
        }
    }
}
