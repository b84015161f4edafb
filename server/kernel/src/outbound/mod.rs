//! Requests to the outside, for those who name a URL: signed if they are to be, and safe against being sent elsewhere.
//!
//! A name is looked up once, each of its addresses is [checked](AllowedNets), and the connection goes to one of them. No redirect is
//! followed, no proxy of the environment is used, an answer is read up to a bound, and the whole takes no longer than it may. How many
//! are under way is bounded, in total and for each host: who wants to send [takes a place](Outbound::place) first, and does something
//! else where there is none.

mod nets;
mod places;
mod resolve;
mod sign;

use std::sync::{Arc, Once, OnceLock};
use std::time::Duration;

use http::header::{HeaderName, RETRY_AFTER};
use http::{HeaderMap, HeaderValue, Method, StatusCode};
use reqwest::Url;
use reqwest::redirect::Policy;

pub use nets::{AllowedNets, NotANet, NotPublic, RefusedAddress};
pub use places::Place;
pub use sign::{NotAKey, Signing, SigningKey};

use crate::trust::{self, Trust};
use places::Places;
use resolve::{Guarded, Unresolved};

/// Most bytes of a URL.
const URL_BYTES: usize = 2048;
/// Bytes of an answer that are read.
const ANSWER_BYTES: usize = 64 * 1024;
/// Longest that making a connection takes.
const CONNECT: Duration = Duration::from_secs(5);
/// What the requests say who sends them.
const USER_AGENT: &str = concat!("MiniTower/", env!("CARGO_PKG_VERSION"));

/// What sends. A cheap clone.
#[derive(Debug, Clone)]
pub struct Outbound(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    guarded: Guarded,
    trust: Trust,
    places: Places,
    /// Made when they are used first: loading the system's certificates takes milliseconds and memory.
    plain: OnceLock<reqwest::Client>,
    encrypted: OnceLock<reqwest::Client>,
}

/// A URL of the form that may be called; whether its host may be is asked with every request.
#[derive(Clone, PartialEq, Eq)]
pub struct Target(Url);

/// A text that is not a URL that may be called.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum NotATarget {
    /// It is too long.
    #[error("must have at most {URL_BYTES} bytes")]
    TooLong,
    /// It is not a URL.
    #[error("must be a URL such as https://example.com/hook")]
    NotAUrl,
    /// It is of another kind.
    #[error("must begin with https:// or http://")]
    Scheme,
    /// It has a user's name or a password in it.
    #[error("must not have a user name or a password in it: the receiver checks the signature instead")]
    Credentials,
    /// It names a part of an answer.
    #[error("must not have a fragment (`#…`): it would never be sent")]
    Fragment,
    /// Its port is 0.
    #[error("must not name the port 0")]
    Port,
}

/// One request.
#[derive(Debug, Clone)]
pub struct Request {
    /// Its method.
    pub method: Method,
    /// Where to.
    pub target: Target,
    /// Its headers. Those of the signature cannot be overruled.
    pub headers: HeaderMap,
    /// Its body.
    pub body: Vec<u8>,
    /// Longest that all of it takes, the look-up of the name included.
    pub timeout: Duration,
    /// How it is signed, if it is.
    pub signing: Option<Signing>,
}

/// An answer, whatever its status.
#[derive(Debug, Clone)]
pub struct Answer {
    /// Its status.
    pub status: StatusCode,
    /// When it asks to be tried again, if it says so in seconds.
    pub retry_after: Option<Duration>,
    /// The beginning of its body.
    pub body: Vec<u8>,
}

/// There was no answer. The text is for whoever named the URL, and says nothing of the URL but its host.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Failure {
    /// It leads to where it must not.
    #[error(
        "{host} cannot be called: {refused}. The server's administrator can allow it with MINITOWER_WEBHOOK_ALLOWED_NETS"
    )]
    Refused {
        /// The host.
        host: String,
        /// Its address.
        refused: RefusedAddress,
    },
    /// The name leads nowhere.
    #[error("{host} cannot be looked up: {reason}")]
    Unresolved {
        /// The host.
        host: String,
        /// Why.
        reason: String,
    },
    /// It took too long.
    #[error("{host} did not answer within {} s", after.as_secs_f32())]
    TooSlow {
        /// The host.
        host: String,
        /// How long it had.
        after: Duration,
    },
    /// There was no connection, or it broke.
    #[error("{host} cannot be reached: {reason}")]
    Unreachable {
        /// The host.
        host: String,
        /// Why.
        reason: String,
    },
    /// The server itself cannot send.
    #[error("the server cannot send requests: {0}")]
    Setup(String),
}

impl std::fmt::Debug for Target {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        // What follows the host is a secret of some receivers.
        write!(f, "Target({})", self.host())
    }
}

impl Target {
    /// Checks the form of a URL.
    pub fn parse(text: &str) -> Result<Self, NotATarget> {
        if text.len() > URL_BYTES {
            return Err(NotATarget::TooLong);
        }
        if text.contains(|c: char| c.is_control() || c.is_whitespace()) {
            return Err(NotATarget::NotAUrl);
        }
        let url = Url::parse(text).map_err(|_| NotATarget::NotAUrl)?;
        if !matches!(url.scheme(), "http" | "https") {
            return Err(NotATarget::Scheme);
        }
        if !url.username().is_empty() || url.password().is_some() {
            return Err(NotATarget::Credentials);
        }
        if url.fragment().is_some() {
            return Err(NotATarget::Fragment);
        }
        if url.port() == Some(0) {
            return Err(NotATarget::Port);
        }
        if url.as_str().len() > URL_BYTES {
            return Err(NotATarget::TooLong);
        }
        Ok(Self(url))
    }

    /// The host.
    pub fn host(&self) -> &str {
        self.0.host_str().unwrap_or_default()
    }

    /// The URL, in the form in which it is called.
    pub fn as_str(&self) -> &str {
        self.0.as_str()
    }

    /// The URL's scheme, host and port.
    pub fn origin(&self) -> String {
        self.0.origin().ascii_serialization()
    }
}

impl Failure {
    fn of_name(host: &str, error: Unresolved) -> Self {
        let host = host.to_owned();
        match error {
            Unresolved::Refused(refused) => Self::Refused { host, refused },
            Unresolved::Unknown(reason) => Self::Unresolved { host, reason },
        }
    }

    fn of_request(host: &str, error: &reqwest::Error) -> Self {
        let mut source: Option<&(dyn std::error::Error + 'static)> = Some(error);
        let mut innermost = String::new();
        while let Some(this) = source {
            if let Some(unresolved) = this.downcast_ref::<Unresolved>() {
                return Self::of_name(host, unresolved.clone());
            }
            innermost = this.to_string();
            source = this.source();
        }
        let reason = trust::of_tls(error).unwrap_or(innermost);
        Self::Unreachable { host: host.to_owned(), reason }
    }
}

impl Outbound {
    /// Nothing is sent and nothing is loaded yet.
    pub fn new(nets: AllowedNets, trust: Trust) -> Self {
        Self(Arc::new(Shared {
            guarded: Guarded::new(nets),
            trust,
            places: Places::default(),
            plain: OnceLock::new(),
            encrypted: OnceLock::new(),
        }))
    }

    /// Takes a place for one request to a host; none: there are too many, to this host or all in all.
    pub fn place(&self, host: &str) -> Option<Place> {
        self.0.places.take(host)
    }

    /// Whether a target may be called, as far as can be known now.
    pub async fn check(&self, target: &Target) -> Result<(), Failure> {
        self.0.guarded.check_url(&target.0).await
    }

    /// Sends a request, in a place that was taken for it.
    pub async fn send(&self, place: Place, request: Request) -> Result<Answer, Failure> {
        let (host, after) = (request.target.host().to_owned(), request.timeout);
        let answer = tokio::time::timeout(after, self.exchange(request)).await;
        drop(place);
        answer.unwrap_or(Err(Failure::TooSlow { host, after }))
    }

    async fn exchange(&self, request: Request) -> Result<Answer, Failure> {
        let Request { method, target: Target(url), mut headers, body, timeout: _, signing } = request;
        let host = url.host_str().unwrap_or_default().to_owned();
        if let Some(address) = Guarded::literal(&url) {
            let checked = self.0.guarded.check(address);
            checked.map_err(|refused| Failure::Refused { host: host.clone(), refused })?;
        }
        for (name, value) in signing.iter().flat_map(|signing| signing.headers(&body)) {
            let value = HeaderValue::from_str(&value).map_err(|error| Failure::Setup(error.to_string()))?;
            headers.insert(HeaderName::from_static(name), value);
        }
        let client = self.client(&url)?;
        let sent = client.request(method, url).headers(headers).body(body).send().await;
        let mut response = sent.map_err(|error| Failure::of_request(&host, &error))?;
        let retry_after = seconds(response.headers());
        let mut body = Vec::new();
        // What does not come any more changes nothing about the status.
        while body.len() < ANSWER_BYTES
            && let Ok(Some(chunk)) = response.chunk().await
        {
            let most = chunk.len().min(ANSWER_BYTES - body.len());
            body.extend_from_slice(&chunk[..most]);
        }
        Ok(Answer { status: response.status(), retry_after, body })
    }

    fn client(&self, url: &Url) -> Result<&reqwest::Client, Failure> {
        let plain = url.scheme() == "http";
        let cell = if plain { &self.0.plain } else { &self.0.encrypted };
        if let Some(client) = cell.get() {
            return Ok(client);
        }
        install_crypto_provider();
        let mut builder = reqwest::Client::builder()
            .user_agent(USER_AGENT)
            .connect_timeout(CONNECT)
            .redirect(Policy::none())
            .no_proxy()
            // A connection that is kept leads to where the name led when it was made.
            .pool_max_idle_per_host(0)
            .dns_resolver(Arc::new(self.0.guarded.clone()));
        let setup = |error: reqwest::Error| Failure::Setup(trust::cannot_load(&error));
        builder = if plain {
            builder.tls_certs_only([])
        } else {
            builder.tls_certs_merge(self.0.trust.of_http().map_err(setup)?)
        };
        let client = builder.build().map_err(setup)?;
        Ok(cell.get_or_init(|| client))
    }
}

fn seconds(headers: &HeaderMap) -> Option<Duration> {
    headers.get(RETRY_AFTER)?.to_str().ok()?.trim().parse().ok().map(Duration::from_secs)
}

/// Says once which cryptography TLS uses. Whoever comes first decides; all of our programs decide alike.
pub fn install_crypto_provider() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        let _already_installed = rustls::crypto::ring::default_provider().install_default();
    });
}

#[cfg(test)]
mod tests;
#[cfg(test)]
mod tls_tests;
