//! One control plane: how many runs wait there, what its runners do, and the calls that keep work from a pod before it goes.

use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use minitower_client::wire::admin::{self, Runners};
use minitower_client::wire::pools::ReportPool;
use minitower_client::{Client, ClientConfig, Error, RunnerFilter, TeamClient};
use minitower_daemon::clock::boottime;

use super::error::{Call, Cause, ControlPlaneError};
use super::exposition::{ExpositionError, Reader};
use super::snapshot::{Pending, RunnerView, Snapshot};

/// The longest that a scrape may take, all its answers together, and the longest that any other call may take.
const DEADLINE: Duration = Duration::from_secs(5);
/// The longest answer: 1000 runners take some 500 kB, and one answer has up to 10,000. Pools name control planes of their own, and none of
/// these may use up the operator's memory.
const MAX_ANSWER_BYTES: usize = 8 * 1024 * 1024;
/// The longest wait for a connection.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(3);
/// How long a control plane that has no call for something is not asked for it, before it is tried again: it may have been upgraded.
const OLDER_FOR: Duration = Duration::from_secs(300);

/// The address of a control plane, and the token for it. Equal ones are the same control plane: they share connections and scrapes.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct ControlPlaneConfig {
    /// Its URL.
    pub url: String,
    /// An operator token, or the token of a team's admin, who sees and drains the team's own runners.
    pub token: String,
    /// A PEM file with certificates to trust besides the system's. It is read once: a changed file needs another path, or a restart.
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
    is_older: IsOlder,
    /// The same of the call for how pools stand; or this token may not make it.
    takes_no_reports: IsOlder,
}

/// That a control plane has no such call: remembered for [`OLDER_FOR`], and shared by all clones of its client.
#[derive(Debug, Clone, Default)]
struct IsOlder {
    /// Until when, by `boottime`, in milliseconds.
    until: Arc<AtomicU64>,
}

impl IsOlder {
    fn holds(&self, now: Duration) -> bool {
        now < Duration::from_millis(self.until.load(Ordering::Relaxed))
    }

    fn note(&self, now: Duration) {
        if !self.holds(now) {
            let until = u64::try_from((now + OLDER_FOR).as_millis()).unwrap_or(u64::MAX);
            self.until.store(until, Ordering::Relaxed);
        }
    }
}

/// The state of a runner after its fences changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Drained {
    /// Whether it holds a run. A runner that is fenced and not busy is not given a run any more.
    pub busy: bool,
    /// The run it holds.
    pub run_id: Option<i64>,
    /// Whether any owner's fence is left.
    pub draining: bool,
}

/// What a report that a process has ended did.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ended {
    /// The attempt that the process held has expired.
    Expired,
    /// It held none: there was nothing to do.
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
        let public =
            Client::new(&client).map_err(|error| ControlPlaneError::new(&server, Cause::Setup(error)))?;
        let admin = public.team(&config.token);
        let (is_older, takes_no_reports) = (IsOlder::default(), IsOlder::default());
        Ok(Self { config, public, admin, is_older, takes_no_reports })
    }

    /// Asks how many runs wait, and then what the runners do: a run that is leased in between is counted twice rather than not at all.
    pub async fn scrape(&self) -> Result<Snapshot, ControlPlaneError> {
        let scrape = async {
            let taken_at = Instant::now();
            let pending = self.pending().await?;
            let filter = RunnerFilter::default();
            let Runners { runners } =
                self.admin.runners(&filter).await.map_err(|error| self.failed(Call::Runners, error))?;
            Ok(Snapshot { taken_at, pending, runners: runners.into_iter().map(RunnerView::from).collect() })
        };
        tokio::time::timeout(DEADLINE, scrape)
            .await
            .unwrap_or_else(|_| Err(self.error(Cause::Deadline(DEADLINE))))
    }

    /// Runs queued and ready. A control plane that does not know the call for it is older, and its metrics say so.
    async fn pending(&self) -> Result<Pending, ControlPlaneError> {
        if !self.is_older.holds(boottime()) {
            match self.admin.demand().await {
                Ok(demand) => {
                    let places = demand.environments.into_iter();
                    return Ok(places.map(|of| ((of.team, of.environment), of.pending)).collect());
                }
                Err(error) if matches!(error.status(), Some(404 | 405)) => {}
                Err(error) => return Err(self.failed(Call::Demand, error)),
            }
        }
        let pending = self.pending_by_metrics().await?;
        // Only now: what is not a control plane at all also answers 404.
        self.is_older.note(boottime());
        Ok(pending)
    }

    async fn pending_by_metrics(&self) -> Result<Pending, ControlPlaneError> {
        let failed = |error: Error| self.failed(Call::Metrics, error);
        let unreadable = |error: ExpositionError| self.error(Cause::Metrics(error));
        let mut metrics = self.public.metrics().await.map_err(failed)?;
        let mut reader = Reader::default();
        while let Some(piece) = metrics.chunk().await.map_err(failed)? {
            reader.push(&piece).map_err(unreadable)?;
        }
        reader.finish().map_err(unreadable)
    }

    /// Fences a runner in the name of `owner`: nothing is leased to it while any owner holds a fence. With the operator token a name that has
    /// not registered yet is fenced in advance.
    pub async fn drain(&self, name: &str, owner: &str) -> Result<Drained, ControlPlaneError> {
        let answer = self.admin.drain_runner(name, Some(owner)).await;
        answer.map(Drained::from).map_err(|error| self.failed(Call::Drain(name.to_owned()), error))
    }

    /// Lifts the fence of `owner`. Lifting one that is not held changes nothing.
    pub async fn undrain(&self, name: &str, owner: &str) -> Result<Drained, ControlPlaneError> {
        let answer = self.admin.undrain_runner(name, Some(owner)).await;
        answer.map(Drained::from).map_err(|error| self.failed(Call::Undrain(name.to_owned()), error))
    }

    /// Reports that this process of a runner has certainly ended: the attempt that it holds expires now, with `reason` as its error.
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
            // It has been forgotten, or never registered.
            Err(error) if is_answer(&error, 409, "conflict") || is_answer(&error, 404, "not_found") => {
                Ok(Ended::HeldNothing)
            }
            Err(error) => Err(self.failed(Call::Ended(name.to_owned()), error)),
        }
    }

    /// Forgets a runner and all fences on its name.
    pub async fn forget(&self, name: &str) -> Result<Forgotten, ControlPlaneError> {
        match self.admin.delete_runner(name).await {
            Ok(()) => Ok(Forgotten::Gone),
            Err(error) if is_answer(&error, 404, "not_found") => Ok(Forgotten::Gone),
            Err(error) if is_answer(&error, 409, "conflict") => Ok(Forgotten::Busy),
            Err(error) => Err(self.failed(Call::Forget(name.to_owned()), error)),
        }
    }

    /// Tells how a pool stands. A control plane that does not want to know it, or not from this operator, is left alone for a while.
    pub async fn report_pool(
        &self,
        (namespace, name): (&str, &str),
        report: &ReportPool,
    ) -> Result<(), ControlPlaneError> {
        if self.takes_no_reports.holds(boottime()) {
            return Ok(());
        }
        match self.admin.report_pool(namespace, name, report).await {
            Ok(()) => Ok(()),
            Err(error) if matches!(error.status(), Some(401 | 403 | 404 | 405)) => {
                self.takes_no_reports.note(boottime());
                Ok(())
            }
            Err(error) => Err(self.failed(Call::ReportPool(format!("{namespace}/{name}")), error)),
        }
    }

    /// Has a pool forgotten that is no more. One that is not known, and a control plane that knows no pools, are as good.
    pub async fn forget_pool(&self, namespace: &str, name: &str) -> Result<(), ControlPlaneError> {
        match self.admin.forget_pool(namespace, name).await {
            Ok(()) => Ok(()),
            Err(error) if matches!(error.status(), Some(401 | 403 | 404 | 405)) => Ok(()),
            Err(error) => Err(self.failed(Call::ForgetPool(format!("{namespace}/{name}")), error)),
        }
    }

    /// Has a registration token made for a pool, in this environment, and for this team or the platform.
    pub async fn create_pool_token(
        &self,
        (namespace, name): (&str, &str),
        environment: &str,
        team: Option<&str>,
    ) -> Result<String, ControlPlaneError> {
        let binding = admin::CreatePoolToken {
            environment: Some(environment.to_owned()),
            team: team.map(str::to_owned),
        };
        let answer = self.admin.create_pool_token(namespace, name, &binding).await;
        let call = Call::CreatePoolToken(format!("{namespace}/{name}"));
        answer.map(|made| made.token).map_err(|error| self.failed(call, error))
    }

    /// Revokes the registration tokens of a pool. None, and a control plane that makes none or not for this operator, are as good.
    pub async fn delete_pool_token(&self, namespace: &str, name: &str) -> Result<(), ControlPlaneError> {
        match self.admin.delete_pool_token(namespace, name).await {
            Ok(()) => Ok(()),
            Err(error) if matches!(error.status(), Some(401 | 403 | 404 | 405)) => Ok(()),
            Err(error) => Err(self.failed(Call::DeletePoolToken(format!("{namespace}/{name}")), error)),
        }
    }

    fn failed(&self, call: Call, error: Error) -> ControlPlaneError {
        ControlPlaneError::of_call(&shown(&self.config.url), call, &self.config.token, error)
    }

    fn error(&self, cause: Cause) -> ControlPlaneError {
        ControlPlaneError::new(&shown(&self.config.url), cause)
    }
}

impl From<admin::Drained> for Drained {
    fn from(drained: admin::Drained) -> Self {
        Self { busy: drained.busy, run_id: drained.run_id, draining: drained.draining }
    }
}

/// Whether the control plane itself answered so, and not something in front of it.
fn is_answer(error: &Error, status: u16, code: &str) -> bool {
    error.status() == Some(status) && error.code() == Some(code)
}

/// A URL without the parts that may be secret: user, password and query.
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
    use crate::demand::ErrorKind;

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
        let text = error.told();
        assert!(text.ends_with("; correct spec.server") && !text.contains("hunter2"), "{text}");
    }

    #[test]
    fn an_older_control_plane_is_tried_again_after_a_while() {
        let (is_older, noted) = (IsOlder::default(), Duration::from_secs(1000));
        assert!(!is_older.holds(noted));
        is_older.note(noted);
        // Scrapes in between do not put it off.
        is_older.note(noted + OLDER_FOR / 2);
        assert!(is_older.holds(noted + OLDER_FOR.mul_f64(0.999)));
        assert!(!is_older.holds(noted + OLDER_FOR));
    }

    #[test]
    fn the_token_is_in_no_debug_output() {
        let plane = ControlPlane::new(config("http://tower:8080")).unwrap();
        let text = format!("{plane:?}");
        assert!(text.contains("tower:8080") && !text.contains("mto_secret"), "{text}");
    }
}
