//! One control plane: scrapes, and the calls that keep work from a pod before it goes.

use std::fmt;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use minitower_client::wire::admin::{self, Runners};
use minitower_client::{Client, ClientConfig, Error, RunnerFilter, TeamClient};

use super::exposition::{ExpositionError, Reader};
use super::{ControlPlaneError, ErrorKind, RunnerView, Snapshot};

/// Longest a scrape may take, both of its answers together, and longest any other call.
const DEADLINE: Duration = Duration::from_secs(5);
/// Longest answer: 1000 runners take some 500 kB, and one answer has up to 10,000. Pools name control planes of their own, and none may use up the operator's memory.
const MAX_ANSWER_BYTES: usize = 8 * 1024 * 1024;
/// Longest wait for a connection.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(3);

/// Where a control plane is, and what opens it. Equal ones are the same control plane: they share connections and scrapes.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct ControlPlaneConfig {
    /// Its URL.
    pub url: String,
    /// An operator token, or the token of a team's admin who sees and drains the team's own runners.
    pub token: String,
    /// PEM file with certificates trusted besides the system's. Read once: a changed file needs another path, or a restart.
    pub ca_file: Option<PathBuf>,
}

impl fmt::Debug for ControlPlaneConfig {
    /// Without the token.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ControlPlaneConfig")
            .field("url", &shown(&self.url))
            .field("ca_file", &self.ca_file)
            .finish_non_exhaustive()
    }
}

/// A control plane. Cheap to clone; clones share their connections.
#[derive(Debug, Clone)]
pub struct ControlPlane {
    config: ControlPlaneConfig,
    public: Client,
    admin: TeamClient,
}

/// Where a runner stands after its fences changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Drained {
    /// Whether it holds a run. Fenced and not busy means: it will not be given one any more.
    pub busy: bool,
    /// The run it holds.
    pub run_id: Option<i64>,
    /// Whether any owner's fence is left.
    pub draining: bool,
}

/// What a report of a process's end did.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ended {
    /// The attempt that the process held has expired.
    Expired,
    /// It held none: nothing was to be done.
    HeldNothing,
}

/// What became of a runner that was to be forgotten.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Forgotten {
    /// It is forgotten, with its fences, or was not known.
    Gone,
    /// It holds a run and stays.
    Busy,
}

impl ControlPlane {
    /// Checks URL and certificates; nothing is sent yet.
    pub fn new(config: ControlPlaneConfig) -> Result<Self, ControlPlaneError> {
        let mut client = ClientConfig::new(&config.url);
        client.ca_file.clone_from(&config.ca_file);
        client.connect_timeout = CONNECT_TIMEOUT;
        client.request_timeout = DEADLINE;
        client.max_answer_bytes = MAX_ANSWER_BYTES;
        concat!("minitower-operator/", env!("CARGO_PKG_VERSION")).clone_into(&mut client.user_agent);
        let server = shown(&config.url);
        let public = Client::new(&client).map_err(|error| {
            let said = match &error {
                Error::Url { reason, .. } => reason.clone(),
                other => other.to_string(),
            };
            ControlPlaneError::new(&server, ErrorKind::Configuration, said)
        })?;
        let admin = public.team(&config.token);
        Ok(Self { config, public, admin })
    }

    /// Asks how many runs wait, and then what the runners do: a run that is leased in between is counted twice rather than not at all.
    pub async fn scrape(&self) -> Result<Snapshot, ControlPlaneError> {
        let scrape = async {
            let taken_at = Instant::now();
            let pending = self.pending().await?;
            let Runners { runners } = self
                .admin
                .runners(&RunnerFilter::default())
                .await
                .map_err(|error| self.failed("GET /api/v1/admin/runners", &error))?;
            Ok(Snapshot { taken_at, pending, runners: runners.into_iter().map(RunnerView::from).collect() })
        };
        tokio::time::timeout(DEADLINE, scrape).await.unwrap_or_else(|_| {
            Err(self.error(ErrorKind::Unreachable, format_args!("no whole answer within {DEADLINE:?}")))
        })
    }

    async fn pending(&self) -> Result<super::Pending, ControlPlaneError> {
        const CALL: &str = "GET /metrics";
        let failed = |error: Error| self.failed(CALL, &error);
        let unreadable =
            |error: ExpositionError| self.error(ErrorKind::Incomplete, format_args!("{CALL}: {error}"));
        let mut metrics = self.public.metrics().await.map_err(failed)?;
        let mut reader = Reader::default();
        while let Some(piece) = metrics.chunk().await.map_err(failed)? {
            reader.push(&piece).map_err(unreadable)?;
        }
        reader.finish().map_err(unreadable)
    }

    /// Fences a runner in the name of `owner`: nothing is leased to it while any owner holds a fence. A name that has not registered yet is
    /// fenced in advance, with the operator token.
    pub async fn drain(&self, name: &str, owner: &str) -> Result<Drained, ControlPlaneError> {
        let answer = self.admin.drain_runner(name, Some(owner)).await;
        answer.map(Drained::from).map_err(|error| self.failed(&format!("draining runner {name}"), &error))
    }

    /// Lifts the fence of `owner`; one that is not held changes nothing.
    pub async fn undrain(&self, name: &str, owner: &str) -> Result<Drained, ControlPlaneError> {
        let answer = self.admin.undrain_runner(name, Some(owner)).await;
        answer.map(Drained::from).map_err(|error| self.failed(&format!("undraining runner {name}"), &error))
    }

    /// Reports that this process of a runner has ended for certain: what it holds expires now, with `reason` as its error.
    pub async fn ended(
        &self,
        name: &str,
        instance_id: &str,
        reason: &str,
    ) -> Result<Ended, ControlPlaneError> {
        let report =
            admin::Ended { instance_id: Some(instance_id.to_owned()), reason: Some(reason.to_owned()) };
        match self.admin.runner_ended(name, &report).await {
            Ok(()) => Ok(Ended::Expired),
            // Forgotten meanwhile, or never registered.
            Err(error) if is_answer(&error, 409, "conflict") || is_answer(&error, 404, "not_found") => {
                Ok(Ended::HeldNothing)
            }
            Err(error) => Err(self.failed(&format!("reporting the end of runner {name}"), &error)),
        }
    }

    /// Forgets a runner and all fences on its name.
    pub async fn forget(&self, name: &str) -> Result<Forgotten, ControlPlaneError> {
        match self.admin.delete_runner(name).await {
            Ok(()) => Ok(Forgotten::Gone),
            Err(error) if is_answer(&error, 404, "not_found") => Ok(Forgotten::Gone),
            Err(error) if is_answer(&error, 409, "conflict") => Ok(Forgotten::Busy),
            Err(error) => Err(self.failed(&format!("forgetting runner {name}"), &error)),
        }
    }

    fn failed(&self, call: &str, error: &Error) -> ControlPlaneError {
        ControlPlaneError::of_call(&shown(&self.config.url), call, &self.config.token, error)
    }

    fn error(&self, kind: ErrorKind, said: impl fmt::Display) -> ControlPlaneError {
        ControlPlaneError::new(&shown(&self.config.url), kind, said)
    }
}

impl From<admin::Drained> for Drained {
    fn from(drained: admin::Drained) -> Self {
        Self { busy: drained.busy, run_id: drained.run_id, draining: drained.draining }
    }
}

/// Whether a control plane, and not something in front of it, answered so.
fn is_answer(error: &Error, status: u16, code: &str) -> bool {
    error.status() == Some(status) && error.code() == Some(code)
}

/// A URL without what may be secret in it: user, password and query.
fn shown(url: &str) -> String {
    let (scheme, rest) = url.trim().split_once("://").unwrap_or(("", url.trim()));
    let rest = rest.split(['?', '#']).next().unwrap_or_default();
    let (authority, path) = rest.split_once('/').unwrap_or((rest, ""));
    let host = authority.rsplit('@').next().unwrap_or_default();
    let separator = if scheme.is_empty() { "" } else { "://" };
    let path = path.trim_end_matches('/');
    let slash = if path.is_empty() { "" } else { "/" };
    format!("{scheme}{separator}{host}{slash}{path}")
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    fn config(url: &str) -> ControlPlaneConfig {
        ControlPlaneConfig { url: url.to_owned(), token: "mto_secret".to_owned(), ca_file: None }
    }

    #[rstest]
    #[case("http://tower:8080/", "http://tower:8080")]
    #[case("https://me:pw@tower/a/b/?key=x#y", "https://tower/a/b")]
    #[case("tower", "tower")]
    #[case("http://a/b@c", "http://a/b@c")]
    fn a_url_is_shown_without_its_secrets(#[case] url: &str, #[case] expected: &str) {
        assert_eq!(shown(url), expected);
    }

    #[rstest]
    #[case("tower:8080")]
    #[case("ftp://tower")]
    #[case("http://me:hunter2@tower")]
    fn a_bad_url_is_refused_before_anything_is_sent(#[case] url: &str) {
        let error = ControlPlane::new(config(url)).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Configuration);
        let text = error.to_string();
        assert!(text.ends_with("; correct spec.server") && !text.contains("hunter2"), "{text}");
    }

    #[test]
    fn the_token_is_in_no_debug_output() {
        let plane = ControlPlane::new(config("http://tower:8080")).unwrap();
        let text = format!("{plane:?}");
        assert!(text.contains("tower:8080") && !text.contains("mto_secret"), "{text}");
    }
}
