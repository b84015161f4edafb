//! The runner protocol: registration, leases and the calls under a lease.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::Timestamp;
use super::runs::{AttemptStatus, LogLine, RunStatus};

pub use crate::statuses::{ResultReason, ResultStatus};

/// The label with the versions of a runner's Pythons, newest first, separated by commas: `3.13.1,3.12.9`.
pub const LABEL_PYTHON: &str = "python";
/// The label that is `true` if a runner downloads Pythons that it lacks.
pub const LABEL_PYTHON_DOWNLOADS: &str = "python-downloads";
/// Most bytes of a label's key or value.
pub const MAX_LABEL_BYTES: usize = 253;

/// Body of `POST /runners/register`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "utoipa", derive(utoipa::ToSchema), schema(example = json!({
    "name": "runner-1", "environment": "default", "pool": "cpu", "labels": {"python": "3.13.1,3.12.9"}
})))]
pub struct Register {
    /// The runner's name, unique on the platform.
    #[serde(default)]
    #[cfg_attr(feature = "utoipa", schema(required = true, min_length = 1, max_length = 253))]
    pub name: String,
    /// The environment whose runs it takes. Default `default`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub environment: Option<String>,
    /// The pool it belongs to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pool: Option<String>,
    /// Labels that describe its machine: at most 512 bytes of JSON.
    #[serde(default, deserialize_with = "super::unique::map", skip_serializing_if = "BTreeMap::is_empty")]
    pub labels: BTreeMap<String, String>,
}

/// Answer of `POST /runners/register`.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "utoipa", derive(utoipa::ToSchema), schema(example = json!({
    "runner_id": 3, "name": "runner-1", "token": "mtr_…", "scope": "team"
})))]
pub struct Registered {
    /// The runner's id.
    pub runner_id: i64,
    /// Its name.
    pub name: String,
    /// Its token. It is shown only once.
    pub token: String,
    /// Whose runs it takes. Absent from older servers.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub scope: Option<RunnerScope>,
}

/// Whose runs a runner takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "utoipa", derive(utoipa::ToSchema))]
#[serde(rename_all = "lowercase")]
pub enum RunnerScope {
    /// The runs of every team: it registered with the platform's token.
    Platform,
    /// The runs of the team whose registration token it used.
    Team,
}

/// Query of `POST /runs/lease`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "utoipa", derive(utoipa::IntoParams), into_params(parameter_in = Query))]
pub struct LeaseQuery {
    /// How long the server may hold the request until there is a run, in seconds, 0 to 60.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "utoipa", param(minimum = 0, maximum = 60))]
    pub wait: Option<u64>,
}

/// Body of `POST /runs/lease`. It may be empty.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "utoipa", derive(utoipa::ToSchema), schema(example = json!({
    "request_id": "5d41402a", "instance_id": "b1946ac9"
})))]
pub struct LeaseRequest {
    /// Names this poll. A poll with the same name repeats a lost answer.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub request_id: Option<String>,
    /// Names the runner's process.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub instance_id: Option<String>,
    /// The former process of this runner, known to be dead. Its attempt ends.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub supersedes: Option<String>,
    /// Whether to start the attempt in the same transaction that leases it. Servers that do not know this leave
    /// `status` out of the lease, and the runner calls `start`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub start: Option<bool>,
}

/// Body of `POST /runners/sign-off`. It may be empty.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "utoipa", derive(utoipa::ToSchema), schema(example = json!({"request_id": "5d41402a"})))]
pub struct SignOff {
    /// The poll that the runner gave up before it was answered. An attempt that this poll has started goes back to the
    /// queue.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub request_id: Option<String>,
}

/// Answer of `POST /runs/lease` when there is a run.
#[derive(Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "utoipa", derive(utoipa::ToSchema), schema(example = json!({
    "run_id": 41, "run_no": 12, "app_id": 5, "app_slug": "hello", "version_no": 1, "entrypoint": "main.py",
    "input": {"name": "world"}, "attempt_id": 77, "attempt_no": 1, "lease_token": "mtl_…",
    "lease_expires_at": "2026-01-02T03:05:05.678Z", "lease_ttl_ms": 60000, "team_id": 1, "team_slug":
    "lighthouse", "environment": "default"
})))]
pub struct Lease {
    /// The run's id.
    pub run_id: i64,
    /// Its number within the app.
    pub run_no: i64,
    /// The app's id.
    pub app_id: i64,
    /// The app's slug.
    pub app_slug: String,
    /// The number of the version to run.
    pub version_no: i64,
    /// The file to start.
    pub entrypoint: String,
    /// How long it may take, in seconds. Absent: the runner's default.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub timeout_seconds: Option<i64>,
    /// Its input.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "utoipa", schema(value_type = Option<Object>))]
    pub input: Option<Map<String, Value>>,
    /// The attempt's id.
    pub attempt_id: i64,
    /// Its number within the run.
    pub attempt_no: i64,
    /// The attempt's state, if the poll asked to start it. A server that answers `running` also takes `logs` with the
    /// result. Older servers leave this out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub status: Option<AttemptStatus>,
    /// The value of `X-Lease-Token` in every call of this attempt.
    pub lease_token: String,
    /// When the lease ends unless it is extended, by the server's clock.
    pub lease_expires_at: Timestamp,
    /// The full length of the lease as last granted, in milliseconds. Absent from older servers.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub lease_ttl_ms: Option<u64>,
    /// The id of the team whose run it is. Absent from older servers.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub team_id: Option<i64>,
    /// That team's slug. Absent from older servers.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub team_slug: Option<String>,
    /// The environment in which the run was queued. Absent from older servers.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub environment: Option<String>,
    /// A token that starts and reads runs of the team while this attempt lasts. Only if the Towerfile has `api = true`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub api_token: Option<String>,
    /// The secrets that the Towerfile of the version names, by name: variables of the job. Absent if it names none.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub secrets: BTreeMap<String, String>,
    /// What the server accepts of this run. Absent from older servers.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub limits: Option<LeaseLimits>,
}

/// What the server accepts of one run. An absent field means no limit.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "utoipa", derive(utoipa::ToSchema))]
pub struct LeaseLimits {
    /// Most bytes of its log.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub log_bytes: Option<u64>,
    /// Most bytes of one of its artifacts.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub artifact_bytes: Option<u64>,
    /// Most bytes of all its artifacts.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub artifacts_bytes: Option<u64>,
    /// Most artifacts.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub artifacts: Option<u64>,
}

/// Answer of `start` and `heartbeat`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "utoipa", derive(utoipa::ToSchema), schema(example = json!({
    "attempt_id": 77, "attempt_no": 1, "status": "running", "lease_expires_at": "2026-01-02T03:05:05.678Z",
    "cancel_requested": false, "run_status": "running", "lease_ttl_ms": 60000
})))]
pub struct AttemptState {
    /// The attempt's id.
    pub attempt_id: i64,
    /// Its number within the run.
    pub attempt_no: i64,
    /// Its state.
    pub status: AttemptStatus,
    /// When the lease ends unless it is extended, by the server's clock.
    pub lease_expires_at: Timestamp,
    /// Whether the runner has to stop the job and report `cancelled`.
    pub cancel_requested: bool,
    /// The run's state.
    pub run_status: RunStatus,
    /// The full length of the lease as last granted, in milliseconds. Absent from older servers.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub lease_ttl_ms: Option<u64>,
}

/// Body of `POST /runs/{run}/logs`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "utoipa", derive(utoipa::ToSchema))]
pub struct LogBatch {
    /// The lines, at most 100.
    #[cfg_attr(feature = "utoipa", schema(max_items = 100))]
    pub logs: Vec<LogLine>,
}

impl LogBatch {
    /// Most lines in one batch.
    pub const MAX_LINES: usize = 100;
    /// Most bytes of one line, its newline not counted.
    pub const MAX_LINE_BYTES: usize = 8 * 1024;
}

/// Body of `POST /runs/{run}/result`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "utoipa", derive(utoipa::ToSchema), schema(example = json!({
    "status": "completed", "exit_code": 0, "reason": "exit"
})))]
pub struct RunResult {
    /// How it ended.
    pub status: ResultStatus,
    /// The exit code of the job. 128 + N if signal N ended it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub exit_code: Option<i64>,
    /// Why it failed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error_message: Option<String>,
    /// What ended the job.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<ResultReason>,
    /// What the job wrote to `MINITOWER_OUTPUT_FILE`: JSON of at most 256 KiB.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub output: Option<Value>,
    /// The last lines of the log, at most 100. The server stores them in the transaction of the result.
    /// Older servers ignore them: send them only if the lease had a `status`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub logs: Vec<LogLine>,
}

/// The call succeeded.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "utoipa", derive(utoipa::ToSchema), schema(example = json!({"status": "ok"})))]
pub struct Ok {
    /// Always `ok`.
    pub status: String,
}

impl Default for Ok {
    fn default() -> Self {
        Self { status: "ok".to_owned() }
    }
}
