//! Signatures of tokens: JWS in its compact form (RFC 7515), by a provider's published keys (RFC 7517, RFC 7518, RFC 8037).
//!
//! Only signatures by a private key are taken. `none`, and those by a secret that this server has too (`HS256`), are refused: with them
//! anyone could sign who knows a key that is no secret.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use ring::digest;
use ring::signature::{
    self, RsaParameters, RsaPublicKeyComponents, UnparsedPublicKey, VerificationAlgorithm,
};
use serde::Deserialize;
use serde_json::Value;

use crate::domain::id_token::Claims;

/// Longest token, in bytes.
const MOST_BYTES: usize = 64 * 1024;
/// Most keys of a provider that are kept. Real ones have two or three.
const MOST_KEYS: usize = 100;

/// A token cannot be read, or nobody can tell who signed it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BadJws {
    /// It has not the form.
    #[error("it is not a signed token")]
    Form,
    /// Its algorithm is none that is taken.
    #[error(
        "it is signed with {0:?}, which is not accepted: RS, PS and ES signatures of 256 and 384 bits, RS512, PS512 and EdDSA are"
    )]
    Algorithm(String),
    /// No key of the provider fits.
    #[error("it is signed with a key that the provider does not publish")]
    NoKey,
    /// The signature is wrong.
    #[error("its signature is wrong")]
    Signature,
}

/// How a token is signed.
#[derive(Clone, Copy)]
enum Algorithm {
    Rsa(&'static RsaParameters),
    /// A point on a curve, or an Edwards key.
    Point {
        curve: &'static str,
        how: &'static dyn VerificationAlgorithm,
    },
}

impl Algorithm {
    fn parse(name: &str) -> Option<(Self, &'static digest::Algorithm)> {
        use signature as s;
        let point = |curve, how| Self::Point { curve, how };
        Some(match name {
            "RS256" => (Self::Rsa(&s::RSA_PKCS1_2048_8192_SHA256), &digest::SHA256),
            "RS384" => (Self::Rsa(&s::RSA_PKCS1_2048_8192_SHA384), &digest::SHA384),
            "RS512" => (Self::Rsa(&s::RSA_PKCS1_2048_8192_SHA512), &digest::SHA512),
            "PS256" => (Self::Rsa(&s::RSA_PSS_2048_8192_SHA256), &digest::SHA256),
            "PS384" => (Self::Rsa(&s::RSA_PSS_2048_8192_SHA384), &digest::SHA384),
            "PS512" => (Self::Rsa(&s::RSA_PSS_2048_8192_SHA512), &digest::SHA512),
            "ES256" => (point("P-256", &s::ECDSA_P256_SHA256_FIXED), &digest::SHA256),
            "ES384" => (point("P-384", &s::ECDSA_P384_SHA384_FIXED), &digest::SHA384),
            "EdDSA" | "Ed25519" => (point("Ed25519", &s::ED25519), &digest::SHA512),
            _ => return None,
        })
    }

    fn verifies(self, key: &Material, message: &[u8], signed: &[u8]) -> bool {
        match (self, key) {
            (Self::Rsa(how), Material::Rsa { n, e }) => {
                RsaPublicKeyComponents { n, e }.verify(how, message, signed).is_ok()
            }
            (Self::Point { curve, how }, Material::Point { curve: of_key, point }) if curve == of_key => {
                UnparsedPublicKey::new(how, point).verify(message, signed).is_ok()
            }
            _ => false,
        }
    }

    fn fits(self, key: &Material) -> bool {
        match (self, key) {
            (Self::Rsa(_), Material::Rsa { .. }) => true,
            (Self::Point { curve, .. }, Material::Point { curve: of_key, .. }) => curve == of_key,
            _ => false,
        }
    }
}

/// A public key.
#[derive(Debug, Clone)]
enum Material {
    Rsa { n: Vec<u8>, e: Vec<u8> },
    Point { curve: String, point: Vec<u8> },
}

#[derive(Debug, Clone)]
struct Key {
    id: Option<String>,
    algorithm: Option<String>,
    material: Material,
}

/// The public keys of a provider.
#[derive(Debug, Clone, Default)]
pub(crate) struct Keys(Vec<Key>);

#[derive(Deserialize)]
struct Published {
    keys: Vec<Value>,
}

#[derive(Deserialize)]
struct Jwk {
    kty: String,
    kid: Option<String>,
    alg: Option<String>,
    #[serde(rename = "use")]
    purpose: Option<String>,
    crv: Option<String>,
    n: Option<String>,
    e: Option<String>,
    x: Option<String>,
    y: Option<String>,
}

impl Keys {
    /// Reads a key set. Keys of kinds that nobody here knows are passed over. None: it is no key set.
    pub(crate) fn parse(json: &[u8]) -> Option<Self> {
        let published: Published = serde_json::from_slice(json).ok()?;
        let known = published.keys.into_iter().filter_map(|key| key_of(serde_json::from_value(key).ok()?));
        Some(Self(known.take(MOST_KEYS).collect()))
    }
}

fn key_of(jwk: Jwk) -> Option<Key> {
    if jwk.purpose.is_some_and(|purpose| purpose != "sig") {
        return None;
    }
    let bytes = |text: Option<String>| URL_SAFE_NO_PAD.decode(text?).ok();
    let material = match jwk.kty.as_str() {
        "RSA" => Material::Rsa { n: without_zeros(&bytes(jwk.n)?), e: without_zeros(&bytes(jwk.e)?) },
        // Uncompressed: SEC 1, section 2.3.3.
        "EC" => Material::Point { curve: jwk.crv?, point: [vec![4], bytes(jwk.x)?, bytes(jwk.y)?].concat() },
        "OKP" => Material::Point { curve: jwk.crv?, point: bytes(jwk.x)? },
        _ => return None,
    };
    Some(Key { id: jwk.kid, algorithm: jwk.alg, material })
}

fn without_zeros(number: &[u8]) -> Vec<u8> {
    number.iter().copied().skip_while(|byte| *byte == 0).collect()
}

/// A token as it came. Nothing in it is to be believed.
pub(crate) struct Unverified<'t> {
    algorithm: Algorithm,
    algorithm_name: String,
    digest: &'static digest::Algorithm,
    key_id: Option<String>,
    message: &'t [u8],
    payload: &'t str,
    signature: Vec<u8>,
}

#[derive(Deserialize)]
struct Header {
    alg: String,
    kid: Option<String>,
    crit: Option<Value>,
}

impl<'t> Unverified<'t> {
    /// Takes a token apart.
    pub(crate) fn parse(token: &'t str) -> Result<Self, BadJws> {
        if token.len() > MOST_BYTES {
            return Err(BadJws::Form);
        }
        let (message, signature) = token.rsplit_once('.').ok_or(BadJws::Form)?;
        let (header, payload) = message.split_once('.').ok_or(BadJws::Form)?;
        let decoded = |text: &str| URL_SAFE_NO_PAD.decode(text).map_err(|_| BadJws::Form);
        let header: Header = serde_json::from_slice(&decoded(header)?).map_err(|_| BadJws::Form)?;
        // Extensions that have to be understood: none is.
        if header.crit.is_some() {
            return Err(BadJws::Form);
        }
        let Some((algorithm, digest)) = Algorithm::parse(&header.alg) else {
            return Err(BadJws::Algorithm(header.alg.chars().take(32).collect()));
        };
        Ok(Self {
            algorithm,
            algorithm_name: header.alg,
            digest,
            key_id: header.kid,
            message: message.as_bytes(),
            payload,
            signature: decoded(signature)?,
        })
    }

    /// What the token says, if one of these keys has signed it. A key that is named must be the one.
    pub(crate) fn verify(&self, keys: &Keys) -> Result<Claims, BadJws> {
        let fits = |key: &&Key| {
            let named = self.key_id.is_none() || key.id.is_none() || self.key_id == key.id;
            let meant = key.algorithm.as_ref().is_none_or(|algorithm| *algorithm == self.algorithm_name);
            named && meant && self.algorithm.fits(&key.material)
        };
        let mut fitting = keys.0.iter().filter(fits).peekable();
        if fitting.peek().is_none() {
            return Err(BadJws::NoKey);
        }
        if !fitting.any(|key| self.algorithm.verifies(&key.material, self.message, &self.signature)) {
            return Err(BadJws::Signature);
        }
        let payload = URL_SAFE_NO_PAD.decode(self.payload).map_err(|_| BadJws::Form)?;
        serde_json::from_slice(&payload).map_err(|_| BadJws::Form)
    }

    /// What `at_hash` must be of an access token that came with this token (OpenID Connect Core 1.0, section 3.1.3.6).
    pub(crate) fn hash_of(&self, access_token: &str) -> String {
        let hash = digest::digest(self.digest, access_token.as_bytes());
        let (left, _) = hash.as_ref().split_at(hash.as_ref().len() / 2);
        URL_SAFE_NO_PAD.encode(left)
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use ring::rand::SystemRandom;
    use ring::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, Ed25519KeyPair, KeyPair as _};
    use serde_json::json;

    use super::*;

    /// A key that is made on the spot.
    pub(crate) struct Signer {
        pair: EcdsaKeyPair,
        pub(crate) id: &'static str,
    }

    impl Signer {
        pub(crate) fn new(id: &'static str) -> Self {
            let random = SystemRandom::new();
            let pkcs8 = EcdsaKeyPair::generate_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, &random).unwrap();
            let pair = EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, pkcs8.as_ref(), &random);
            Self { pair: pair.unwrap(), id }
        }

        pub(crate) fn jwk(&self) -> Value {
            let (x, y) = self.pair.public_key().as_ref()[1..].split_at(32);
            let text = |bytes: &[u8]| URL_SAFE_NO_PAD.encode(bytes);
            json!({"kty": "EC", "crv": "P-256", "kid": self.id, "use": "sig", "x": text(x), "y": text(y)})
        }

        pub(crate) fn sign(&self, header: &Value, claims: &Value) -> String {
            let message = message(header, claims);
            let signed = self.pair.sign(&SystemRandom::new(), message.as_bytes()).unwrap();
            format!("{message}.{}", URL_SAFE_NO_PAD.encode(signed))
        }

        pub(crate) fn token(&self, claims: &Value) -> String {
            self.sign(&json!({"alg": "ES256", "kid": self.id}), claims)
        }
    }

    fn message(header: &Value, claims: &Value) -> String {
        let part = |value: &Value| URL_SAFE_NO_PAD.encode(value.to_string());
        format!("{}.{}", part(header), part(claims))
    }

    fn keys(keys: &[Value]) -> Keys {
        Keys::parse(json!({ "keys": keys }).to_string().as_bytes()).unwrap()
    }

    fn verified(token: &str, keys: &Keys) -> Result<Claims, BadJws> {
        Unverified::parse(token)?.verify(keys)
    }

    #[test]
    fn a_token_is_read_if_the_key_that_it_names_has_signed_it() {
        let (one, two) = (Signer::new("one"), Signer::new("two"));
        let both = keys(&[one.jwk(), two.jwk()]);
        let token = one.token(&json!({"sub": "u"}));
        assert_eq!(verified(&token, &both).unwrap()["sub"], "u");
        assert_eq!(verified(&token, &keys(&[two.jwk()])), Err(BadJws::NoKey));
        let lying = one.sign(&json!({"alg": "ES256", "kid": "two"}), &json!({}));
        assert_eq!(verified(&lying, &both), Err(BadJws::Signature));
        let silent = two.sign(&json!({"alg": "ES256"}), &json!({"sub": "u"}));
        assert!(verified(&silent, &both).is_ok(), "without a name every key is tried");
    }

    #[test]
    fn whatever_is_changed_breaks_the_signature() {
        let signer = Signer::new("one");
        let keys = keys(&[signer.jwk()]);
        let (token, other) = (signer.token(&json!({"sub": "u"})), signer.token(&json!({"sub": "v"})));
        let (token, other): (Vec<_>, Vec<_>) = (token.split('.').collect(), other.split('.').collect());
        assert_eq!(verified(&[token[0], other[1], token[2]].join("."), &keys), Err(BadJws::Signature));
        assert_eq!(verified(&[token[0], token[1], other[2]].join("."), &keys), Err(BadJws::Signature));
        assert_eq!(verified(&[token[0], token[1], ""].join("."), &keys), Err(BadJws::Signature));
    }

    #[test]
    fn what_anyone_could_sign_is_refused() {
        let signer = Signer::new("one");
        let public = keys(&[signer.jwk(), json!({"kty": "oct", "k": "AAAA", "kid": "one"})]);
        for alg in ["none", "None", "HS256", "HS512", "", "ES256K"] {
            let unsigned = format!("{}.", message(&json!({"alg": alg, "kid": "one"}), &json!({"sub": "u"})));
            assert_eq!(verified(&unsigned, &public), Err(BadJws::Algorithm(alg.to_owned())), "{alg}");
        }
        let other = signer.sign(&json!({"alg": "RS256", "kid": "one"}), &json!({}));
        assert_eq!(verified(&other, &public), Err(BadJws::NoKey), "the key is of another kind");
        let critical = signer.sign(&json!({"alg": "ES256", "crit": ["exp"], "exp": 1}), &json!({}));
        assert_eq!(verified(&critical, &public), Err(BadJws::Form));
    }

    #[test]
    fn a_key_for_something_else_does_not_count() {
        let signer = Signer::new("one");
        let token = signer.token(&json!({}));
        for (name, value) in [("use", "enc"), ("alg", "ES384"), ("crv", "P-384")] {
            let mut jwk = signer.jwk();
            jwk[name] = value.into();
            assert_eq!(verified(&token, &keys(&[jwk])), Err(BadJws::NoKey), "{name}");
        }
    }

    #[test]
    fn an_edwards_key_signs_too() {
        let pkcs8 = Ed25519KeyPair::generate_pkcs8(&SystemRandom::new()).unwrap();
        let pair = Ed25519KeyPair::from_pkcs8(pkcs8.as_ref()).unwrap();
        let message = message(&json!({"alg": "EdDSA"}), &json!({"sub": "u"}));
        let token = format!("{message}.{}", URL_SAFE_NO_PAD.encode(pair.sign(message.as_bytes())));
        let x = URL_SAFE_NO_PAD.encode(pair.public_key().as_ref());
        assert!(verified(&token, &keys(&[json!({"kty": "OKP", "crv": "Ed25519", "x": x})])).is_ok());
    }

    #[test]
    fn nonsense_is_no_token_and_no_key() {
        for nonsense in ["", ".", "..", "a.b.c", "e30.e30.e30", "e30.e30", &"x".repeat(100_000)] {
            assert_eq!(Unverified::parse(nonsense).err(), Some(BadJws::Form), "{nonsense:.20}");
        }
        for nonsense in ["", "[]", "{}", r#"{"keys":7}"#] {
            assert!(Keys::parse(nonsense.as_bytes()).is_none(), "{nonsense}");
        }
        let odd = json!({"keys": [7, {}, {"kty": "RSA"}, {"kty": "EC", "crv": "P-256", "x": "!", "y": ""}]});
        assert!(Keys::parse(odd.to_string().as_bytes()).unwrap().0.is_empty());
    }

    #[test]
    fn the_hash_of_an_access_token_is_that_of_the_standard() {
        // The example of OpenID Connect Core 1.0, appendix A.3.
        let signer = Signer::new("one");
        let token = signer.token(&json!({}));
        let hash = Unverified::parse(&token).unwrap().hash_of("jHkWEdUXMU1BwAsC4vtUsZwnNvTIxEl0z9K3vx5KF0Y");
        assert_eq!(hash, "77QmUPtjPfzWtF2AnpK9RQ");
    }
}
