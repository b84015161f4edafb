//! Runs, their attempts and logs, as team tokens see them.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::Timestamp;
use super::apps::Concurrency;

pub use crate::statuses::{AttemptStatus, Failure, RunStatus};

/// Body of `POST /apps/{app}/runs`. It may be empty.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "utoipa", derive(utoipa::ToSchema), schema(example = json!({
    "input": {"name": "world"}, "priority": 0, "environment": "default", "retry": {"max_attempts": 3, "on":
    ["failed", "lost"]}
})))]
pub struct CreateRun {
    /// The input: an object or null.
    #[serde(default, deserialize_with = "super::unique::value", skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "utoipa", schema(value_type = Option<Object>))]
    pub input: Option<Value>,
    /// The number of the version to run. Default: the newest.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub version_no: Option<i64>,
    /// Runs with a higher priority start first. Default 0. It may be negative.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub priority: Option<i64>,
    /// How often a lost run starts again. Default: the version's, else 0. Not together with `retry`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "utoipa", schema(minimum = 0))]
    pub max_retries: Option<i64>,
    /// What is retried, how often and after how long.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub retry: Option<Retry>,
    /// How long it may take, in seconds, at least 1. Default: the version's, else the runner's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "utoipa", schema(minimum = 1))]
    pub timeout_seconds: Option<i64>,
    /// The environment it runs in. Default `default`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub environment: Option<String>,
    /// What it is found by, at most 32. A key has 1 to 63 letters, digits, `.`, `_`, `-` and `/`, and begins with a letter
    /// or a digit. A value has at most 253 bytes.
    #[serde(default, deserialize_with = "super::unique::map", skip_serializing_if = "BTreeMap::is_empty")]
    pub labels: BTreeMap<String, String>,
    /// How many runs of the team with the same key may be active at the same time: the others wait. Default: as the app
    /// says, else its Towerfile.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub concurrency: Option<Concurrency>,
    /// Runs of the team that have to complete or to end first, at most 32. If one that has to complete ends otherwise, this
    /// run is cancelled.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[cfg_attr(feature = "utoipa", schema(max_items = 32))]
    pub after: Vec<After>,
}

/// Body of `POST /runs/{run}/retry`. It may be empty. What is left out is as in the run that is repeated.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "utoipa", derive(utoipa::ToSchema), schema(example = json!({"input": {"name": "world"}})))]
pub struct RetryRun {
    /// Another input: an object, or null for none. `"********"` for a hidden parameter stands for its value in the run that is
    /// repeated.
    #[serde(default, deserialize_with = "super::unique::given", skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "utoipa", schema(value_type = Option<Object>))]
    pub input: Option<Value>,
    /// The number of another version.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub version_no: Option<i64>,
    /// Another priority.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub priority: Option<i64>,
    /// Another environment.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub environment: Option<String>,
    /// Runs of the team that have to complete or to end first, at most 32. What the run that is repeated came after is not
    /// waited for again.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[cfg_attr(feature = "utoipa", schema(max_items = 32))]
    pub after: Vec<After>,
}

/// A run that another one comes after.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "utoipa", derive(utoipa::ToSchema), schema(example = json!({"run_id": 40, "on": "completed"})))]
#[serde(deny_unknown_fields)]
pub struct After {
    /// The run.
    pub run_id: i64,
    /// What it has to have come to.
    #[serde(default)]
    pub on: AfterOn,
}

/// What a run has to have come to before the one behind it may start.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "utoipa", derive(utoipa::ToSchema))]
#[serde(rename_all = "lowercase")]
pub enum AfterOn {
    /// It has completed. If it ends otherwise, the run behind it is cancelled.
    #[default]
    Completed,
    /// It has ended, however.
    Ended,
}

impl AfterOn {
    /// The word.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Completed => "completed",
            Self::Ended => "ended",
        }
    }
}

/// How a run is retried.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "utoipa", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct Retry {
    /// How many attempts there may be, 1 to 1000, whatever ended them. A run that was given back does not count.
    #[cfg_attr(feature = "utoipa", schema(minimum = 1, maximum = 1000))]
    pub max_attempts: i64,
    /// What is retried. Default: all three. Any other outcome ends the run at once.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub on: Option<Vec<Failure>>,
    /// How long to wait before the first retry of a failure or a timeout, in milliseconds. Default 1000. A lost run is
    /// queued at once.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub backoff_initial_ms: Option<i64>,
    /// The factor from one wait to the next, 1 to 100. Default 2.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub backoff_multiplier: Option<f64>,
    /// The longest wait, in milliseconds. Default 300000. Each wait is lengthened by a random amount, at most a fifth.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub backoff_max_ms: Option<i64>,
}

/// Stands for the value of a hidden parameter in a run's input. The value was given, and nobody sees it.
pub const HIDDEN_VALUE: &str = "********";

/// A run. It has the same fields in every answer.
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
    /// The app's id.
    pub app_id: i64,
    /// The app's slug.
    pub app_slug: String,
    /// Its number within the app: 1, 2, 3 …
    pub run_no: i64,
    /// The number of its version.
    pub version_no: i64,
    /// Its state.
    pub status: RunStatus,
    /// Its input. The value of a hidden parameter is shown as `"********"`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "utoipa", schema(value_type = Option<Object>))]
    pub input: Option<Map<String, Value>>,
    /// The bytes of its input, in lists only, where an input of more than 64 KiB is left out. Read the run to see it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub input_bytes: Option<i64>,
    /// Runs with a higher priority start first.
    pub priority: i64,
    /// How often it may start again.
    pub max_retries: i64,
    /// How often it has started again.
    pub retry_count: i64,
    /// Whether a cancel was requested.
    pub cancel_requested: bool,
    /// Why no runner may take it although it is queued: `after`, `backoff`, `disabled` or `limit`. Absent: one may, and from
    /// older servers.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub blocked_by: Option<String>,
    /// The key of the limit of active runs that it shares. Absent: it shares none, and from older servers.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub concurrency_key: Option<String>,
    /// When it entered the queue, for the last time.
    pub queued_at: Timestamp,
    /// When it first started.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub started_at: Option<Timestamp>,
    /// When it ended.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub finished_at: Option<Timestamp>,
    /// The environment it runs in. Absent from older servers.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub environment: Option<String>,
    /// The exit code of the job.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub exit_code: Option<i64>,
    /// Why it failed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error_message: Option<String>,
    /// The name of the runner of the newest attempt.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub runner: Option<String>,
    /// What the job wrote to `MINITOWER_OUTPUT_FILE`. Absent from older servers.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub output: Option<Value>,
    /// The bytes of its output, in lists only, where an output of more than 64 KiB is left out. Read the run to see it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub output_bytes: Option<i64>,
    /// The labels it was created with. Absent if there are none, and from older servers.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub labels: BTreeMap<String, String>,
    /// The id of the run that it repeats. That run may have been deleted. Absent if it repeats none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub retry_of: Option<i64>,
    /// The runs that it comes after, as they were given. Those that it still waits for are `waits_for` of `explain`. Absent if
    /// there are none, and from older servers.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub after: Vec<After>,
}

/// Answer of `GET /runs/{run}/explain`: why a run is not running.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "utoipa", derive(utoipa::ToSchema), schema(example = json!({
    "run_id": 41, "status": "queued", "position": 3, "reason": "busy", "message": "all 2 runners are busy in the \
    environment \"default\", and 2 runs of your team come before it there: wait until one is done, or start more runners"
})))]
pub struct RunExplained {
    /// The run's id.
    pub run_id: i64,
    /// Its state.
    pub status: RunStatus,
    /// Its place among the ready runs of its team in its environment, from 1. Absent: it is not ready.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub position: Option<u64>,
    /// The first thing that keeps it from a runner: `after`, `disabled`, `backoff`, `limit`, `no_room`, `pool_growing`,
    /// `pool_broken`, `pool_at_maximum`, `pool_paused`, `no_runner`, `drained`, `busy` or `queue`; newer servers may know more. Of a
    /// run that is not queued: its status.
    pub reason: String,
    /// The same for people, with the way out.
    pub message: String,
    /// When its backoff ends.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub until: Option<Timestamp>,
    /// The runs that it comes after and that have not come to what it waits for.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub waits_for: Vec<WaitsFor>,
    /// The limit that is reached.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub limit: Option<LimitReached>,
}

/// A run that another one waits for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "utoipa", derive(utoipa::ToSchema))]
pub struct WaitsFor {
    /// The run.
    pub run_id: i64,
    /// What it has to have come to.
    pub on: AfterOn,
    /// Its state. Absent: it was deleted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub status: Option<RunStatus>,
}

/// A limit of active runs that is reached.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "utoipa", derive(utoipa::ToSchema))]
pub struct LimitReached {
    /// The key that the runs share. Absent: the limit is `active_runs` of the team.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub key: Option<String>,
    /// How many runs may be active.
    pub max: i64,
    /// How many are.
    pub active: i64,
    /// Some of these runs, at most five.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub runs: Vec<i64>,
}

/// Answer of `GET /runs` and `GET /apps/{app}/runs`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "utoipa", derive(utoipa::ToSchema))]
pub struct Runs {
    /// The runs, newest first.
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
    /// Runs that are leased, running or cancelling.
    pub active_runs: i64,
    /// Runs that are queued.
    pub queued_runs: i64,
    /// Runs that have ended.
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
    /// Its number within the run: 1, 2, 3 …
    pub attempt_no: i64,
    /// Its state.
    pub status: AttemptStatus,
    /// The name of its runner.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub runner: Option<String>,
    /// The exit code of the job.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub exit_code: Option<i64>,
    /// Why it failed.
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
    /// The attempts, oldest first.
    pub attempts: Vec<Attempt>,
}

/// The stream of the job that a line came from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "utoipa", derive(utoipa::ToSchema))]
#[serde(rename_all = "lowercase")]
pub enum Stream {
    /// Standard output.
    Stdout,
    /// Standard error, and the steps that set the job up.
    Stderr,
}

/// A line of a run's log.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "utoipa", derive(utoipa::ToSchema), schema(example = json!({
    "seq": 1, "stream": "stdout", "line": "hello, world", "logged_at": "2026-01-02T03:04:02.000Z"
})))]
pub struct LogLine {
    /// Its number within the attempt: 1, 2, 3 …
    pub seq: i64,
    /// The stream it came from.
    pub stream: Stream,
    /// The text without its newline, at most 8 KiB.
    pub line: String,
    /// When the runner read it, by the runner's clock.
    pub logged_at: Timestamp,
}

/// Answer of `GET /runs/{run}/logs`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "utoipa", derive(utoipa::ToSchema))]
pub struct Logs {
    /// Lines of one attempt, by `seq`.
    pub logs: Vec<LogLine>,
    /// There are more lines: ask for them with `after_seq` and this value. Absent on the last page, and from older
    /// servers.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next_seq: Option<i64>,
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
    /// Its length in bytes.
    pub bytes: i64,
    /// The SHA-256 of its content, in lower-case hexadecimal.
    pub sha256: String,
    /// Its content type, as its extension says.
    pub content_type: String,
    /// When it was stored or last replaced.
    pub created_at: Timestamp,
}

/// Answer of `GET /runs/{run}/artifacts`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "utoipa", derive(utoipa::ToSchema))]
pub struct Artifacts {
    /// The artifacts, by path.
    pub artifacts: Vec<Artifact>,
}
