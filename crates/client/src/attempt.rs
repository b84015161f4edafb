//! The calls under a lease.

use std::fmt;
use std::time::Duration;

use bytes::Bytes;
use minitower_vocabulary::wire::headers;
use minitower_vocabulary::wire::runner::{AttemptState, Lease, LogBatch, RunResult};
use reqwest::Method;
use reqwest::header::HeaderMap;

use crate::Error;
use crate::artifacts::segments;
use crate::transport::{Answer, Request, Transport};

/// Calls of one attempt; they carry the runner token and the attempt's lease token. Cheap to clone.
#[derive(Clone)]
pub struct AttemptClient {
    transport: Transport,
    runner_token: String,
    lease_token: String,
    run_id: i64,
    timeout: Duration,
}

impl fmt::Debug for AttemptClient {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AttemptClient").field("run_id", &self.run_id).finish_non_exhaustive()
    }
}

impl AttemptClient {
    pub(crate) fn new(transport: Transport, runner_token: &str, lease: &Lease) -> Self {
        Self {
            timeout: transport.request_timeout(),
            transport,
            runner_token: runner_token.to_owned(),
            lease_token: lease.lease_token.clone(),
            run_id: lease.run_id,
        }
    }

    /// The same calls with another deadline each: an answer is of no use to a runner whose lease has run out.
    #[must_use]
    pub fn with_timeout(mut self, timeout: Duration) -> Self {
        self.timeout = timeout;
        self
    }

    fn call(&self, method: Method, verb: &str) -> Request<'_> {
        self.transport
            .api(method, &["runs", &self.run_id.to_string(), verb])
            .bearer(&self.runner_token)
            .lease_token(&self.lease_token)
            .timeout(self.timeout)
    }

    /// Says that the job starts. Does not extend the lease.
    pub async fn start(&self) -> Result<AttemptState, Error> {
        self.call(Method::POST, "start").decode().await
    }

    /// Extends the lease.
    pub async fn heartbeat(&self) -> Result<AttemptState, Error> {
        self.call(Method::POST, "heartbeat").decode().await
    }

    /// Delivers log lines; lines the server has already are ignored.
    pub async fn logs(&self, batch: &LogBatch) -> Result<(), Error> {
        self.call(Method::POST, "logs").json(batch).done().await
    }

    /// Reports how the job ended.
    pub async fn result(&self, result: &RunResult) -> Result<(), Error> {
        self.call(Method::POST, "result").json(result).done().await
    }

    /// Gives the run back unharmed. Older servers answer 404.
    pub async fn release(&self) -> Result<(), Error> {
        self.call(Method::POST, "release").done().await
    }

    /// Uploads a file the job left behind, under `path` (relative, `/` between components), as `bytes` bytes of `content`.
    ///
    /// The same bytes again are no error. The call's deadline holds for the whole upload.
    pub async fn put_artifact(
        &self,
        path: &str,
        bytes: u64,
        content: impl futures_util::Stream<Item = std::io::Result<Bytes>> + Send + 'static,
    ) -> Result<(), Error> {
        let run = self.run_id.to_string();
        self.transport
            .api(Method::PUT, &segments(&run, path)?)
            .bearer(&self.runner_token)
            .lease_token(&self.lease_token)
            .timeout(self.timeout)
            .stream(bytes, content)
            .done()
            .await
    }

    /// Downloads the version's archive as a stream.
    pub async fn artifact(&self) -> Result<Artifact, Error> {
        let answer = self.call(Method::GET, "artifact").head().await?;
        let headers = ArtifactHeaders::read(&answer)?;
        Ok(Artifact { headers, answer })
    }
}

/// What the server says about a downloaded archive.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ArtifactHeaders {
    /// SHA-256 of the archive, lower-case hexadecimal.
    pub sha256: String,
    /// The file to start.
    pub entrypoint: String,
    /// Seconds a run may take; absent: the runner's default.
    pub timeout_seconds: Option<i64>,
    /// Directories put in front of `PYTHONPATH`.
    pub import_paths: Vec<String>,
    /// Length of the archive in bytes, when the server says it.
    pub content_length: Option<u64>,
}

impl ArtifactHeaders {
    fn read(answer: &Answer) -> Result<Self, Error> {
        let headers = answer.headers();
        let required = |name| {
            text(headers, name).ok_or_else(|| answer.unexpected(format!("an artifact without `{name}`")))
        };
        let malformed = |name| answer.unexpected(format!("an artifact with an unreadable `{name}`"));
        let timeout_seconds = text(headers, headers::TIMEOUT_SECONDS)
            .map(|seconds| seconds.parse().map_err(|_| malformed(headers::TIMEOUT_SECONDS)))
            .transpose()?;
        let import_paths = text(headers, headers::IMPORT_PATHS)
            .map(|paths| serde_json::from_str(&paths).map_err(|_| malformed(headers::IMPORT_PATHS)))
            .transpose()?;
        Ok(Self {
            sha256: required(headers::ARTIFACT_SHA256)?.to_ascii_lowercase(),
            entrypoint: required(headers::ENTRYPOINT)?,
            timeout_seconds,
            import_paths: import_paths.unwrap_or_default(),
            content_length: answer.content_length(),
        })
    }
}

fn text(headers: &HeaderMap, name: &str) -> Option<String> {
    // File names need not be ASCII: header values are bytes, and ours are UTF-8.
    let value = headers.get(name)?;
    Some(String::from_utf8_lossy(value.as_bytes()).into_owned())
}

/// An archive being downloaded.
#[derive(Debug)]
pub struct Artifact {
    /// What the server says about it.
    pub headers: ArtifactHeaders,
    answer: Answer,
}

impl Artifact {
    /// The next piece, or `None` at the end. A pause longer than the call's deadline is a transport error.
    pub async fn chunk(&mut self) -> Result<Option<Bytes>, Error> {
        self.answer.chunk().await
    }
}
