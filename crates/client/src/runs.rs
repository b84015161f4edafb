//! Runs, their attempts and logs.

use std::time::Duration;

use minitower_vocabulary::wire::many_runs::{CancelledRuns, ManyRuns, RetriedRuns};
use minitower_vocabulary::wire::runs::{
    Attempts, CreateRun, Logs, RetryRun, Run, RunExplained, Runs, RunsSummary, Stream,
};
use reqwest::Method;
use serde::Serialize;

use crate::pages::Cursor;
use crate::{Error, TeamClient};

/// How long a call about many runs may take beside any other.
const MANY_RUNS: Duration = Duration::from_secs(30);

/// Which runs to list; all fields optional.
#[derive(Debug, Clone, Default, Serialize)]
pub struct RunFilter {
    /// At most so many, 1 to 100; default 50.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub limit: Option<u32>,
    /// Skips so many of the newest.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub offset: Option<u64>,
    /// Only runs older than this one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub before: Option<i64>,
    /// Only runs in this state.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub status: Option<String>,
    /// Only runs of the app with this slug.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub app: Option<String>,
    /// Only runs in this environment.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub environment: Option<String>,
    /// Only runs with all of these labels, each as `key=value`.
    #[serde(skip)]
    pub labels: Vec<String>,
}

/// Which log lines to read; all fields optional.
#[derive(Debug, Clone, Copy, Default, Serialize)]
pub struct LogFilter {
    /// Only lines after this one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub after_seq: Option<i64>,
    /// Lines of this attempt number instead of the newest.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub attempt: Option<i64>,
    /// Only the last so many.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tail: Option<u32>,
    /// Only lines of this stream.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub stream: Option<Stream>,
    /// At most so many.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub limit: Option<u32>,
}

impl TeamClient {
    /// Queues a run.
    pub async fn create_run(&self, app: &str, run: &CreateRun) -> Result<Run, Error> {
        self.call(Method::POST, &["apps", app, "runs"]).json(run).decode().await
    }

    /// Queues a run, unless the same call did so under the same key within 24 hours: then that run.
    pub async fn create_run_once(&self, app: &str, run: &CreateRun, key: &str) -> Result<Run, Error> {
        let call = self.call(Method::POST, &["apps", app, "runs"]);
        call.idempotency_key(key).json(run).decode().await
    }

    /// The team's runs, newest first.
    pub async fn runs(&self, filter: &RunFilter) -> Result<Runs, Error> {
        // A query is written field by field, and this one may be there more than once.
        let labels: Vec<_> = filter.labels.iter().map(|label| ("label", label)).collect();
        self.call(Method::GET, &["runs"]).query(filter).query(&labels).decode().await
    }

    /// One app's runs, newest first; unlike the team-wide list, an unknown app is an error. The filter may have a limit and
    /// an offset; the server refuses the rest.
    pub async fn app_runs(&self, app: &str, filter: &RunFilter) -> Result<Runs, Error> {
        self.call(Method::GET, &["apps", app, "runs"]).query(filter).decode().await
    }

    /// How many runs there are, by kind of state.
    pub async fn runs_summary(&self) -> Result<RunsSummary, Error> {
        self.call(Method::GET, &["runs", "summary"]).decode().await
    }

    /// One run.
    pub async fn run(&self, run_id: i64) -> Result<Run, Error> {
        self.call(Method::GET, &["runs", &run_id.to_string()]).decode().await
    }

    /// Why it is not running.
    pub async fn explain_run(&self, run_id: i64) -> Result<RunExplained, Error> {
        self.call(Method::GET, &["runs", &run_id.to_string(), "explain"]).decode().await
    }

    /// Its attempts, oldest first, all pages.
    pub async fn attempts(&self, run_id: i64) -> Result<Attempts, Error> {
        let path = ["runs", &run_id.to_string(), "attempts"];
        self.list(
            &path,
            Cursor::After,
            |answer: &mut Attempts| &mut answer.attempts,
            |attempt| attempt.attempt_no,
        )
        .await
    }

    /// Asks for a cancel; repeating it changes nothing.
    pub async fn cancel_run(&self, run_id: i64) -> Result<Run, Error> {
        self.call(Method::POST, &["runs", &run_id.to_string(), "cancel"]).decode().await
    }

    /// Queues a run that repeats one that has ended; with a key, unless the same call did so under the same key within 24 hours.
    pub async fn retry_run(&self, run_id: i64, changes: &RetryRun, key: Option<&str>) -> Result<Run, Error> {
        let call = self.call(Method::POST, &["runs", &run_id.to_string(), "retry"]);
        let call = match key {
            Some(key) => call.idempotency_key(key),
            None => call,
        };
        call.json(changes).decode().await
    }

    /// Asks for the cancel of many runs. With a `next_before` there may be more.
    pub async fn cancel_runs(&self, which: &ManyRuns) -> Result<CancelledRuns, Error> {
        let timeout = self.transport.request_timeout().saturating_add(MANY_RUNS);
        self.call(Method::POST, &["runs", "cancel"]).json(which).timeout(timeout).decode().await
    }

    /// Queues runs that repeat many others. With a `next_before` there may be more.
    pub async fn retry_runs(&self, which: &ManyRuns) -> Result<RetriedRuns, Error> {
        let timeout = self.transport.request_timeout().saturating_add(MANY_RUNS);
        self.call(Method::POST, &["runs", "retry"]).json(which).timeout(timeout).decode().await
    }

    /// Deletes a run with its log and artifacts. One that has not ended is not deleted, unless `force` cancels it. Needs a token of role
    /// admin.
    pub async fn delete_run(&self, run_id: i64, force: bool) -> Result<(), Error> {
        self.call(Method::DELETE, &["runs", &run_id.to_string()]).query(&[("force", force)]).done().await
    }

    /// One run as soon as it has ended, or as it is after `wait` seconds, 0 to 60.
    pub async fn run_ended(&self, run_id: i64, wait: u32) -> Result<Run, Error> {
        let timeout = self.transport.request_timeout().saturating_add(Duration::from_secs(wait.into()));
        let call = self.call(Method::GET, &["runs", &run_id.to_string()]).query(&[("wait", wait)]);
        call.timeout(timeout).decode().await
    }

    /// One page of log lines by `seq`: with a `next_seq` there are more. They are of the newest attempt unless the filter names one.
    pub async fn logs(&self, run_id: i64, filter: &LogFilter) -> Result<Logs, Error> {
        self.call(Method::GET, &["runs", &run_id.to_string(), "logs"]).query(filter).decode().await
    }
}
