//! One call: address, credential, deadline, answer. The only place that touches the HTTP library.

use std::sync::Arc;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use jiff::Timestamp;
use minitower_vocabulary::wire::headers;
use reqwest::header::{CONTENT_LENGTH, DATE, HeaderMap, RETRY_AFTER, TRANSFER_ENCODING};
use reqwest::{Method, Url, Version};
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::config::{ClientConfig, OnIgnored};
use crate::error::{Error, TransportReason};

/// A connection pool to one control plane; cheap to clone.
#[derive(Debug, Clone)]
pub(crate) struct Transport {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    http: reqwest::Client,
    base: Url,
    origin: String,
    connect_timeout: Duration,
    request_timeout: Duration,
    max_answer_bytes: usize,
    on_ignored: Option<OnIgnored>,
}

impl Transport {
    pub(crate) fn new(config: &ClientConfig) -> Result<Self, Error> {
        let base = config.base_url()?;
        Ok(Self {
            shared: Arc::new(Shared {
                http: config.http_client(&base)?,
                origin: base.origin().ascii_serialization(),
                base,
                connect_timeout: config.connect_timeout,
                request_timeout: config.request_timeout,
                max_answer_bytes: config.max_answer_bytes,
                on_ignored: config.on_ignored.clone(),
            }),
        })
    }

    pub(crate) fn max_answer_bytes(&self) -> usize {
        self.shared.max_answer_bytes
    }

    pub(crate) fn request_timeout(&self) -> Duration {
        self.shared.request_timeout
    }

    /// A call below `/api/v1`.
    pub(crate) fn api(&self, method: Method, path: &[&str]) -> Request<'_> {
        self.call(method, ["api", "v1"].iter().chain(path))
    }

    /// A call that is not below `/api/v1`.
    pub(crate) fn root(&self, path: &[&str]) -> Request<'_> {
        self.call(Method::GET, path.iter())
    }

    fn call<'p>(&self, method: Method, path: impl Iterator<Item = &'p &'p str>) -> Request<'_> {
        let mut url = self.shared.base.clone();
        // `base_url` lets only http and https through, which always have a path.
        if let Ok(mut segments) = url.path_segments_mut() {
            segments.pop_if_empty().extend(path);
        }
        Request {
            transport: self,
            builder: self.shared.http.request(method, url),
            timeout: self.shared.request_timeout,
        }
    }

    fn broken(&self, error: &reqwest::Error) -> Error {
        Error::from_reqwest(&self.shared.origin, error, self.shared.connect_timeout)
    }

    pub(crate) fn silent(&self, limit: Duration) -> Error {
        Error::Transport { origin: self.shared.origin.clone(), reason: TransportReason::AnswerTimeout(limit) }
    }

    pub(crate) fn unexpected(&self, reason: impl Into<String>) -> Error {
        Error::Decode { origin: self.shared.origin.clone(), reason: reason.into() }
    }
}

/// A call being put together.
#[must_use]
pub(crate) struct Request<'t> {
    transport: &'t Transport,
    builder: reqwest::RequestBuilder,
    timeout: Duration,
}

impl Request<'_> {
    pub(crate) fn bearer(mut self, token: &str) -> Self {
        self.builder = self.builder.bearer_auth(token);
        self
    }

    pub(crate) fn lease_token(mut self, token: &str) -> Self {
        self.builder = self.builder.header(headers::LEASE_TOKEN, token);
        self
    }

    pub(crate) fn idempotency_key(mut self, key: &str) -> Self {
        self.builder = self.builder.header(headers::IDEMPOTENCY_KEY, key);
        self
    }

    pub(crate) fn header(mut self, name: &'static str, value: &str) -> Self {
        self.builder = self.builder.header(name, value);
        self
    }

    pub(crate) fn json(mut self, body: &impl Serialize) -> Self {
        self.builder = self.builder.json(body);
        self
    }

    pub(crate) fn multipart(mut self, form: reqwest::multipart::Form) -> Self {
        self.builder = self.builder.multipart(form);
        self
    }

    /// A body of `bytes` bytes, sent as it comes.
    pub(crate) fn stream(
        mut self,
        bytes: u64,
        content: impl futures_util::Stream<Item = std::io::Result<Bytes>> + Send + 'static,
    ) -> Self {
        self.builder = self.builder.header(CONTENT_LENGTH, bytes).body(reqwest::Body::wrap_stream(content));
        self
    }

    pub(crate) fn query(mut self, query: &impl Serialize) -> Self {
        self.builder = self.builder.query(query);
        self
    }

    /// Replaces the configured deadline of the whole call.
    pub(crate) fn timeout(mut self, timeout: Duration) -> Self {
        self.timeout = timeout;
        self
    }

    /// Sends, and waits for the head of a good answer.
    pub(crate) async fn head(self) -> Result<Answer, Error> {
        let Self { transport, builder, timeout } = self;
        match tokio::time::timeout(timeout, open(transport, builder, timeout)).await {
            Ok(answer) => answer,
            Err(_) => Err(transport.silent(timeout)),
        }
    }

    /// Sends, and reads a good answer whole.
    pub(crate) async fn whole(self) -> Result<WholeAnswer, Error> {
        let Self { transport, builder, timeout } = self;
        let call = async {
            let mut answer = open(transport, builder, timeout).await?;
            let body = answer.read_all().await?;
            Ok(WholeAnswer {
                transport: transport.clone(),
                status: answer.response.status().as_u16(),
                date: answer.date(),
                body,
            })
        };
        match tokio::time::timeout(timeout, call).await {
            Ok(answer) => answer,
            Err(_) => Err(transport.silent(timeout)),
        }
    }

    /// Sends, and reads a good answer as JSON.
    pub(crate) async fn decode<T: DeserializeOwned>(self) -> Result<T, Error> {
        self.whole().await?.decode()
    }

    /// Sends, and reads a good answer as text.
    pub(crate) async fn text(self) -> Result<String, Error> {
        self.whole().await.map(|answer| String::from_utf8_lossy(&answer.body).into_owned())
    }

    /// Sends, and throws a good answer's body away.
    pub(crate) async fn done(self) -> Result<(), Error> {
        self.whole().await.map(drop)
    }
}

async fn open(
    transport: &Transport,
    builder: reqwest::RequestBuilder,
    timeout: Duration,
) -> Result<Answer, Error> {
    let response = builder.send().await.map_err(|error| transport.broken(&error))?;
    let status = response.status();
    if let (Some(hearer), Some(names)) =
        (&transport.shared.on_ignored, response.headers().get(headers::IGNORED_FIELDS))
    {
        hearer.hear(&String::from_utf8_lossy(names.as_bytes()));
    }
    let mut answer = Answer { transport: transport.clone(), response, timeout };
    if status.is_success() {
        return Ok(answer);
    }
    let retry_after = retry_after(answer.headers());
    let body = answer.read_all().await?;
    Err(Error::from_answer(&transport.shared.origin, status.as_u16(), retry_after, &body))
}

/// A good answer whose body has not been read.
#[derive(Debug)]
pub(crate) struct Answer {
    transport: Transport,
    response: reqwest::Response,
    timeout: Duration,
}

impl Answer {
    pub(crate) fn headers(&self) -> &HeaderMap {
        self.response.headers()
    }

    /// Scheme, host and port of the server.
    pub(crate) fn origin(&self) -> &str {
        &self.transport.shared.origin
    }

    /// Most bytes that are kept of it.
    pub(crate) fn max_bytes(&self) -> usize {
        self.transport.max_answer_bytes()
    }

    /// The same, whose server may be silent for so long.
    pub(crate) fn with_timeout(self, timeout: Duration) -> Self {
        Self { timeout, ..self }
    }

    pub(crate) fn content_length(&self) -> Option<u64> {
        self.response.content_length()
    }

    pub(crate) fn unexpected(&self, reason: impl Into<String>) -> Error {
        self.transport.unexpected(reason)
    }

    /// Whether the end of the body can be told from a connection that broke: not when its end is the connection's.
    pub(crate) fn shows_its_end(&self) -> bool {
        self.response.version() >= Version::HTTP_2
            || [CONTENT_LENGTH, TRANSFER_ENCODING].iter().any(|name| self.headers().contains_key(name))
    }

    fn date(&self) -> Option<Timestamp> {
        let text = self.headers().get(DATE)?.to_str().ok()?;
        jiff::fmt::rfc2822::DateTimeParser::new().parse_timestamp(text).ok()
    }

    /// The next piece of the body, or `None` at its end.
    pub(crate) async fn chunk(&mut self) -> Result<Option<Bytes>, Error> {
        match tokio::time::timeout(self.timeout, self.response.chunk()).await {
            Ok(Ok(chunk)) => Ok(chunk),
            Ok(Err(error)) => Err(self.transport.broken(&error)),
            Err(_) => Err(self.transport.silent(self.timeout)),
        }
    }

    async fn read_all(&mut self) -> Result<Bytes, Error> {
        let mut body = BytesMut::new();
        while let Some(chunk) = self.chunk().await? {
            let most = self.transport.max_answer_bytes();
            if body.len() + chunk.len() > most {
                return Err(self.unexpected(format!("more than {most} bytes")));
            }
            body.extend_from_slice(&chunk);
        }
        Ok(body.freeze())
    }
}

/// A good answer.
pub(crate) struct WholeAnswer {
    transport: Transport,
    pub(crate) status: u16,
    pub(crate) date: Option<Timestamp>,
    body: Bytes,
}

impl WholeAnswer {
    /// Bytes of its body.
    pub(crate) fn len(&self) -> usize {
        self.body.len()
    }

    pub(crate) fn decode<T: DeserializeOwned>(&self) -> Result<T, Error> {
        serde_json::from_slice(&self.body).map_err(|error| {
            let wrong_fields = error.is_data();
            self.transport.unexpected(if wrong_fields {
                error.to_string()
            } else {
                "it is not valid JSON".to_owned()
            })
        })
    }
}

/// Seconds only: the server sends no other form.
fn retry_after(headers: &HeaderMap) -> Option<Duration> {
    let seconds = headers.get(RETRY_AFTER)?.to_str().ok()?.parse().ok()?;
    Some(Duration::from_secs(seconds))
}
