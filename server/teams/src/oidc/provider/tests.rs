//! A provider that does what the test says, on a port of its own.

use std::collections::HashMap;
use std::sync::Mutex as StdMutex;

use minitower_kernel::trust::Trust;
use rcgen::{CertificateParams, KeyPair};
use serde_json::{Value, json};
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::ServerConfig;
use tokio_rustls::rustls::crypto::ring;
use tokio_rustls::rustls::pki_types::PrivatePkcs8KeyDer;

use super::super::jws::tests::Signer;
use super::super::{Scopes, ServiceUrl};
use super::*;
use crate::domain::id_token::BadClaims;
use crate::domain::people::Mapping;

const NOW: i64 = 1_700_000_000;
const TIES: Ties<'static> = Ties { nonce: "n", verifier: "v" };

type Answers = Arc<StdMutex<HashMap<&'static str, (u16, String)>>>;
type Hits = Arc<StdMutex<Vec<String>>>;

struct Bed {
    answers: Answers,
    hits: Hits,
    issuer: String,
    provider: Provider,
}

fn at(seconds: i64) -> Timestamp {
    Timestamp((NOW + seconds) * 1000)
}

impl Bed {
    async fn start() -> Self {
        Self::start_with("http", None).await
    }

    async fn start_with(scheme: &str, tls: Option<(TlsAcceptor, Option<String>)>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let issuer = format!("{scheme}://{}", listener.local_addr().unwrap());
        let (acceptor, ca) = tls.unzip();
        let (answers, hits) = (Answers::default(), Hits::default());
        let (served, seen) = (Arc::clone(&answers), Arc::clone(&hits));
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let (served, seen) = (Arc::clone(&served), Arc::clone(&seen));
                match acceptor.clone() {
                    None => drop(tokio::spawn(serve(stream, served, seen))),
                    // A client that does not trust us goes away.
                    Some(acceptor) => drop(tokio::spawn(async move {
                        if let Ok(stream) = acceptor.accept(stream).await {
                            serve(stream, served, seen).await;
                        }
                    })),
                }
            }
        });
        let settings = OidcSettings {
            issuer: ServiceUrl::parse(&issuer).unwrap(),
            client_id: "tower".to_owned(),
            client_secret: None,
            scopes: Scopes::default(),
            groups_claim: "groups".to_owned(),
            name_claim: None,
            teams: Mapping::default(),
            token_ttl: Duration::from_secs(60),
            public_url: ServiceUrl::parse("https://tower.example").unwrap(),
            trust: ca.flatten().map_or_else(Trust::default, |pem| Trust::parse(pem.as_bytes()).unwrap()),
        };
        let bed = Self { answers, hits, provider: Provider::new(Arc::new(settings)).unwrap(), issuer };
        bed.describe(&json!({}));
        bed
    }

    fn answer(&self, path: &'static str, status: u16, body: &(impl ToString + ?Sized)) {
        self.answers.lock().unwrap().insert(path, (status, body.to_string()));
    }

    /// What the provider says of itself, with changes.
    fn describe(&self, more: &Value) {
        let issuer = &self.issuer;
        let mut metadata = json!({
            "issuer": issuer, "authorization_endpoint": format!("{issuer}/auth"), "jwks_uri": format!("{issuer}/keys"),
            "token_endpoint": format!("{issuer}/token"), "userinfo_endpoint": format!("{issuer}/me"),
        });
        metadata.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        self.answer("/.well-known/openid-configuration", 200, &metadata);
    }

    fn publish(&self, keys: &[&Signer]) {
        let keys: Vec<_> = keys.iter().map(|key| key.jwk()).collect();
        self.answer("/keys", 200, &json!({ "keys": keys }));
    }

    /// The next sign-in, with changes of the claims.
    fn sign_in(&self, signer: &Signer, more: &Value) {
        let mut claims = json!({
            "iss": self.issuer, "aud": "tower", "sub": "u1", "nonce": "n", "iat": NOW, "exp": NOW + 100_000,
            "name": "Ada", "groups": ["data"],
        });
        for (name, value) in more.as_object().unwrap() {
            claims[name] = value.clone();
        }
        claims.as_object_mut().unwrap().retain(|_, value| !value.is_null());
        let tokens = json!({"id_token": signer.token(&claims), "access_token": "a", "token_type": "Bearer"});
        self.answer("/token", 200, &tokens);
    }

    async fn who(&self, seconds: i64) -> Result<SignedIn, SignInError> {
        self.provider.who("code", "https://tower.example/back", TIES, at(seconds)).await
    }

    fn count(&self, path: &str) -> usize {
        self.hits.lock().unwrap().iter().filter(|hit| *hit == path).count()
    }
}

async fn serve(mut stream: impl AsyncRead + AsyncWrite + Unpin, answers: Answers, hits: Hits) {
    let mut request = Vec::new();
    let mut piece = [0; 4096];
    // What a form says beyond the head does not matter here.
    while !request.windows(4).any(|four| four == b"\r\n\r\n") {
        let Ok(n @ 1..) = stream.read(&mut piece).await else { return };
        request.extend_from_slice(&piece[..n]);
    }
    let head = String::from_utf8_lossy(&request).into_owned();
    let path = head.split(' ').nth(1).unwrap_or_default().to_owned();
    let (status, body) = answers.lock().unwrap().get(path.as_str()).cloned().unwrap_or((404, String::new()));
    hits.lock().unwrap().push(path);
    let place = if status == 302 { "Location: /keys\r\n" } else { "" };
    let answer = format!(
        "HTTP/1.1 {status} -\r\nContent-Type: application/json\r\nConnection: close\r\n{place}Content-Length: {}\r\n\r\n{body}",
        body.len()
    );
    let _gone = stream.write_all(answer.as_bytes()).await;
}

#[tokio::test]
async fn somebody_signs_in_with_the_claims_of_the_token() {
    let (bed, key) = (Bed::start().await, Signer::new("one"));
    bed.publish(&[&key]);
    bed.sign_in(&key, &json!({}));
    let who = bed.who(0).await.unwrap();
    let person = Person { issuer: bed.issuer.clone(), subject: "u1".to_owned(), name: "Ada".to_owned() };
    assert_eq!(who, SignedIn { person, groups: vec!["data".to_owned()] });
    bed.who(1).await.unwrap();
    assert_eq!((bed.count("/keys"), bed.count("/me")), (1, 0), "what is known is not asked for again");
    bed.who(3601).await.unwrap();
    assert_eq!((bed.count("/keys"), bed.count("/.well-known/openid-configuration")), (2, 2));
}

#[tokio::test]
async fn a_new_key_is_fetched_and_an_old_one_is_dead_then() {
    let (bed, old, new) = (Bed::start().await, Signer::new("old"), Signer::new("new"));
    bed.publish(&[&old]);
    bed.sign_in(&old, &json!({}));
    bed.who(0).await.unwrap();
    bed.publish(&[&new]);
    bed.sign_in(&new, &json!({}));
    for _ in 0..10 {
        let refused = bed.who(29).await;
        assert!(matches!(refused, Err(SignInError::Signature(BadJws::NoKey))), "{refused:?}");
    }
    assert_eq!(bed.count("/keys"), 1, "strangers do not make the server ask the provider");
    bed.who(30).await.unwrap();
    bed.sign_in(&old, &json!({}));
    let refused = bed.who(31).await;
    assert!(matches!(refused, Err(SignInError::Signature(BadJws::NoKey))), "{refused:?}");
    assert_eq!(bed.count("/keys"), 2);
}

#[tokio::test]
async fn a_token_for_something_else_signs_nobody_in() {
    let (bed, key) = (Bed::start().await, Signer::new("one"));
    bed.publish(&[&key]);
    for (claims, why) in [
        (json!({"nonce": "m"}), BadClaims::Nonce),
        (json!({"aud": "other"}), BadClaims::Audience),
        (json!({"iss": "https://other.example"}), BadClaims::Issuer),
        (json!({"exp": NOW - 61}), BadClaims::Expired),
        (json!({"at_hash": "x"}), BadClaims::AccessToken),
    ] {
        bed.sign_in(&key, &claims);
        let refused = bed.who(0).await;
        assert!(matches!(refused, Err(SignInError::Claims(found)) if found == why), "{claims}: {refused:?}");
    }
    let forged = Signer::new("one");
    bed.sign_in(&forged, &json!({}));
    let refused = bed.who(0).await;
    assert!(matches!(refused, Err(SignInError::Signature(BadJws::Signature))), "{refused:?}");
}

#[tokio::test]
async fn groups_that_are_not_in_the_token_are_asked_for_and_are_of_the_same_person() {
    let (bed, key) = (Bed::start().await, Signer::new("one"));
    bed.publish(&[&key]);
    bed.sign_in(&key, &json!({"groups": null}));
    bed.answer("/me", 200, &json!({"sub": "u1", "groups": ["ops"], "name": "Not Ada"}));
    let who = bed.who(0).await.unwrap();
    assert_eq!((who.groups, who.person.name), (vec!["ops".to_owned()], "Ada".to_owned()));
    bed.sign_in(&key, &json!({"name": null}));
    assert_eq!(bed.who(0).await.unwrap().person.name, "Not Ada");
    bed.answer("/me", 200, &json!({"sub": "u2", "name": "Eve"}));
    assert_eq!(bed.who(0).await.unwrap().person.name, "u1", "nobody is kept out for want of a name");
    bed.sign_in(&key, &json!({"groups": null}));
    bed.answer("/me", 200, &json!({"sub": "u2", "groups": ["ops"]}));
    let refused = bed.who(0).await.unwrap_err().to_string();
    assert!(refused.contains("about another person"), "{refused}");
    bed.answer("/me", 200, &json!({"sub": "u1", "_claim_names": {"groups": "src1"}}));
    let refused = bed.who(0).await.unwrap_err().to_string();
    assert!(refused.contains("no claim \"groups\", because there are too many"), "{refused}");
}

#[tokio::test]
async fn an_answer_that_is_none_is_said_without_what_is_secret() {
    let (bed, key) = (Bed::start().await, Signer::new("one"));
    bed.publish(&[&key]);
    for (status, body, says) in [
        (400, json!({"error": "invalid_grant"}).to_string(), "counts only once"),
        (
            401,
            json!({"error": "invalid_client", "error_description": "no\u{7}"}).to_string(),
            "answered invalid_client: no)",
        ),
        (500, "oops".to_owned(), "answered 500"),
        (302, String::new(), "answered 302"),
        (200, json!({"access_token": "s3cret"}).to_string(), "sent no ID token"),
        (200, json!({"id_token": ["s3cret"]}).to_string(), "JSON that the standard does not know"),
        (200, json!({"id_token": "s3cret"}).to_string(), "it is not a signed token"),
        (200, format!("\"{}\"", "x".repeat(2 * 1024 * 1024)), "more than 1048576 bytes"),
    ] {
        bed.answer("/token", status, &body);
        let refused = bed.who(0).await.unwrap_err().to_string();
        assert!(refused.contains(says) && !refused.contains("s3cret"), "{says}: {refused}");
        assert!(!refused.contains('\u{7}'), "{refused}");
    }
}

#[tokio::test]
async fn a_provider_that_does_not_fit_is_said_to_and_not_asked_for_some_seconds() {
    let bed = Bed::start().await;
    let asked = |seconds| bed.provider.departure("https://tower.example/back", "s", ("n", "c"), at(seconds));
    bed.describe(&json!({"issuer": "https://other.example"}));
    let refused = asked(0).await.unwrap_err().to_string();
    assert!(refused.contains("its issuer is \"https://other.example\""), "{refused}");
    bed.describe(&json!({"token_endpoint": "http://other.example/token"}));
    assert_eq!(asked(4).await.unwrap_err().to_string(), refused, "the same for five seconds");
    assert_eq!(bed.count("/.well-known/openid-configuration"), 1);
    let refused = asked(5).await.unwrap_err().to_string();
    assert!(refused.contains("its token_endpoint is not an https URL"), "{refused}");
    bed.describe(&json!({}));
    let there = asked(10).await.unwrap();
    for part in [
        "/auth?",
        "response_type=code",
        "code_challenge=c",
        "code_challenge_method=S256",
        "nonce=n",
        "state=s",
    ] {
        assert!(there.contains(part), "{part}: {there}");
    }
}

#[tokio::test]
async fn whoever_else_has_answered_the_browser_is_refused() {
    let bed = Bed::start().await;
    let own = bed.issuer.clone();
    bed.provider.check_answerer(Some(&own), at(0)).await.unwrap();
    bed.provider.check_answerer(None, at(0)).await.unwrap();
    bed.provider.check_answerer(Some("https://other.example"), at(0)).await.unwrap_err();
    bed.describe(&json!({"authorization_response_iss_parameter_supported": true}));
    bed.provider.check_answerer(None, at(3600)).await.unwrap_err();
}

/// A server's side of TLS for 127.0.0.1, and its certificate.
fn certified() -> (TlsAcceptor, String) {
    let key = KeyPair::generate().unwrap();
    let cert = CertificateParams::new(vec!["127.0.0.1".to_owned()]).unwrap().self_signed(&key).unwrap();
    let config = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![cert.der().clone()], PrivatePkcs8KeyDer::from(key.serialize_der()).into())
        .unwrap();
    (TlsAcceptor::from(Arc::new(config)), cert.pem())
}

#[tokio::test]
async fn a_provider_of_a_private_authority_is_trusted_if_the_settings_say_so() {
    let (acceptor, own) = certified();
    let (_, another) = certified();
    let asked = async |ca: &str| {
        let bed = Bed::start_with("https", Some((acceptor.clone(), Some(ca.to_owned())))).await;
        bed.provider.departure("https://tower.example/back", "s", ("n", "c"), at(0)).await
    };
    assert!(asked(&own).await.unwrap().starts_with("https://127.0.0.1"));
    let refused = asked(&another).await.unwrap_err().to_string();
    assert!(
        refused.contains("invalid peer certificate") && refused.contains("MINITOWER_CA_FILE"),
        "{refused}"
    );
}
