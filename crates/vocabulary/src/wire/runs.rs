//! Runs, their attempts and logs, as team tokens see them.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::Timestamp;

/// State of a run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "utoipa", derive(utoipa::ToSchema))]
#[serde(rename_all = "lowercase")]
pub enum RunStatus {
    /// Waits for a runner.
    Queued,
    /// Given to a runner that has not started it yet.
    Leased,
    /// A runner has started it.
    Running,
    /// A cancel was asked for; the runner has not confirmed yet.
    Cancelling,
    /// Ended well.
    Completed,
    /// Ended badly.
    Failed,
    /// Ended by a cancel.
    Cancelled,
    /// Its runners were lost as often as its retries allow.
    Dead,
}

impl RunStatus {
    /// The word on the wire.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Queued => "queued",
            Self::Leased => "leased",
            Self::Running => "running",
            Self::Cancelling => "cancelling",
            Self::Completed => "completed",
            Self::Failed => "failed",
            Self::Cancelled => "cancelled",
            Self::Dead => "dead",
        }
    }

    /// Whether the run has ended for good.
    pub const fn is_terminal(self) -> bool {
        matches!(self, Self::Completed | Self::Failed | Self::Cancelled | Self::Dead)
    }
}

/// State of an attempt.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "utoipa", derive(utoipa::ToSchema))]
#[serde(rename_all = "lowercase")]
pub enum AttemptStatus {
    /// Given to a runner.
    Leased,
    /// Started by the runner.
    Running,
    /// A cancel was asked for.
    Cancelling,
    /// Ended well.
    Completed,
    /// Ended badly.
    Failed,
    /// Ended by a cancel.
    Cancelled,
    /// The lease ran out.
    Expired,
    /// The runner gave the run back.
    Released,
}

/// Body of `POST /apps/{app}/runs`; may be empty.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "utoipa", derive(utoipa::ToSchema), schema(example = json!({
    "input": {"name": "world"}, "priority": 0, "environment": "default", "retry": {"max_attempts": 3, "on":
    ["failed", "lost"]}
})))]
pub struct CreateRun {
    /// An object, or null.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "utoipa", schema(value_type = Option<Object>))]
    pub input: Option<Value>,
    /// Which version; absent: the newest.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub version_no: Option<i64>,
    /// Higher runs first; default 0.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub priority: Option<i64>,
    /// How often a lost run starts again; default the version's, else 0. Not together with `retry`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "utoipa", schema(minimum = 0))]
    pub max_retries: Option<i64>,
    /// What is retried, how often and after how long.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub retry: Option<Retry>,
    /// Seconds it may take, at least 1; default the version's, else as long as it likes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "utoipa", schema(minimum = 1))]
    pub timeout_seconds: Option<i64>,
    /// Where it runs; default `default`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub environment: Option<String>,
}

/// How a run is retried.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "utoipa", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct Retry {
    /// Most attempts, 1 to 1000: bounds all of them, whatever ended them. A run that was given back does not count.
    #[cfg_attr(feature = "utoipa", schema(minimum = 1, maximum = 1000))]
    pub max_attempts: i64,
    /// What is retried; default all three. What is not named ends the run at once.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub on: Option<Vec<RetryOn>>,
    /// Wait before the first retry of a failure or a timeout, in milliseconds; default 1000. A lost run is queued at once.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub backoff_initial_ms: Option<i64>,
    /// Factor from one wait to the next, 1 to 100; default 2.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub backoff_multiplier: Option<f64>,
    /// Longest wait, in milliseconds; default 300000. Each wait is lengthened at random, by at most a fifth.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub backoff_max_ms: Option<i64>,
}

/// What may be retried.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "utoipa", derive(utoipa::ToSchema))]
#[serde(rename_all = "lowercase")]
pub enum RetryOn {
    /// A failed result: the job exited badly, ended by a signal, or could not be set up.
    Failed,
    /// The job was stopped at its timeout.
    Timeout,
    /// The runner was lost.
    Lost,
}

/// Stands for the value of a hidden parameter in a run's input: it was given, and nobody is shown it.
pub const HIDDEN_VALUE: &str = "********";

/// A run, the same fields in every answer.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "utoipa", derive(utoipa::ToSchema), schema(example = json!({
    "run_id": 41, "app_id": 5, "app_slug": "hello", "run_no": 12, "version_no": 1, "status": "completed",
    "input": {"name": "world"}, "priority": 0, "max_retries": 2, "retry_count": 0, "cancel_requested":
    false, "queued_at": "2026-01-02T03:04:00.000Z", "started_at": "2026-01-02T03:04:01.000Z", "finished_at":
    "2026-01-02T03:04:05.678Z", "environment": "default", "exit_code": 0, "runner": "runner-1"
})))]
pub struct Run {
    /// The run's id.
    pub run_id: i64,
    /// Its app.
    pub app_id: i64,
    /// Its app's slug.
    pub app_slug: String,
    /// 1, 2, 3 … within the app.
    pub run_no: i64,
    /// The version it runs.
    pub version_no: i64,
    /// Its state.
    pub status: RunStatus,
    /// Its input. The value of a hidden parameter is shown as `"********"`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "utoipa", schema(value_type = Option<Object>))]
    pub input: Option<Map<String, Value>>,
    /// Higher runs first.
    pub priority: i64,
    /// How often it may start again after its runner was lost.
    pub max_retries: i64,
    /// How often it did.
    pub retry_count: i64,
    /// Whether a cancel was asked for.
    pub cancel_requested: bool,
    /// When it (last) entered the queue.
    pub queued_at: Timestamp,
    /// When it first started.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub started_at: Option<Timestamp>,
    /// When it ended.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub finished_at: Option<Timestamp>,
    /// Where it runs. Absent from older servers.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub environment: Option<String>,
    /// Exit code of the job.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub exit_code: Option<i64>,
    /// Why it ended badly.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error_message: Option<String>,
    /// Name of the runner of the newest attempt.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub runner: Option<String>,
    /// What the job wrote to `MINITOWER_OUTPUT_FILE`. Absent from older servers.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub output: Option<Value>,
}

/// Answer of `GET /runs` and `GET /apps/{app}/runs`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "utoipa", derive(utoipa::ToSchema))]
pub struct Runs {
    /// Newest first.
    pub runs: Vec<Run>,
}

/// Answer of `GET /runs/summary`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "utoipa", derive(utoipa::ToSchema), schema(example = json!({
    "total_runs": 12, "active_runs": 1, "queued_runs": 2, "terminal_runs": 9
})))]
pub struct RunsSummary {
    /// All runs of the team.
    pub total_runs: i64,
    /// Leased, running or cancelling.
    pub active_runs: i64,
    /// Queued.
    pub queued_runs: i64,
    /// Ended.
    pub terminal_runs: i64,
}

/// An attempt at a run.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "utoipa", derive(utoipa::ToSchema), schema(example = json!({
    "attempt_id": 77, "attempt_no": 1, "status": "completed", "runner": "runner-1", "exit_code": 0,
    "reason": "exit", "leased_at": "2026-01-02T03:04:00.500Z", "started_at": "2026-01-02T03:04:01.000Z",
    "finished_at": "2026-01-02T03:04:05.678Z"
})))]
pub struct Attempt {
    /// The attempt's id.
    pub attempt_id: i64,
    /// 1, 2, 3 … within the run.
    pub attempt_no: i64,
    /// Its state.
    pub status: AttemptStatus,
    /// Name of its runner.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub runner: Option<String>,
    /// Exit code of the job.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub exit_code: Option<i64>,
    /// Why it ended badly.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error_message: Option<String>,
    /// What ended the job: `exit`, `signal`, `timeout` or `setup`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// When the runner got it.
    pub leased_at: Timestamp,
    /// When the runner started it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub started_at: Option<Timestamp>,
    /// When it ended.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub finished_at: Option<Timestamp>,
}

/// Answer of `GET /runs/{run}/attempts`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "utoipa", derive(utoipa::ToSchema))]
pub struct Attempts {
    /// Oldest first.
    pub attempts: Vec<Attempt>,
}

/// Which of the job's streams a line came from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "utoipa", derive(utoipa::ToSchema))]
#[serde(rename_all = "lowercase")]
pub enum Stream {
    /// Standard output.
    Stdout,
    /// Standard error; setup steps too.
    Stderr,
}

/// A line of a run's log.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "utoipa", derive(utoipa::ToSchema), schema(example = json!({
    "seq": 1, "stream": "stdout", "line": "hello, world", "logged_at": "2026-01-02T03:04:02.000Z"
})))]
pub struct LogLine {
    /// 1, 2, 3 … within the attempt.
    pub seq: i64,
    /// The stream it came from.
    pub stream: Stream,
    /// The text, without its newline; at most 8 KiB.
    pub line: String,
    /// When the runner read it, by the runner's clock.
    pub logged_at: Timestamp,
}

/// Answer of `GET /runs/{run}/logs`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "utoipa", derive(utoipa::ToSchema))]
pub struct Logs {
    /// Lines of the newest attempt, by `seq`.
    pub logs: Vec<LogLine>,
}

/// A file that a job left in `MINITOWER_ARTIFACTS_DIR`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "utoipa", derive(utoipa::ToSchema), schema(example = json!({
    "path": "report/index.html", "bytes": 5120, "sha256":
    "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad", "content_type": "text/html",
    "created_at": "2026-01-02T03:04:05.678Z"
})))]
pub struct Artifact {
    /// Its path below that folder, with `/` between the components.
    pub path: String,
    /// Its length.
    pub bytes: i64,
    /// SHA-256 of its content, lower-case hexadecimal.
    pub sha256: String,
    /// What it is by its name, for whoever shows it.
    pub content_type: String,
    /// When it was stored, or last replaced.
    pub created_at: Timestamp,
}

/// Answer of `GET /runs/{run}/artifacts`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "utoipa", derive(utoipa::ToSchema))]
pub struct Artifacts {
    /// By path.
    pub artifacts: Vec<Artifact>,
}
