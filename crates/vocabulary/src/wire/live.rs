//! The data of events, as streams send it (`text/event-stream`).

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::Timestamp;
use crate::statuses::RunStatus;

/// What an event of a log's stream is called; one without a name is a line.
pub mod log_event {
    /// The run goes on with another attempt.
    pub const ATTEMPT: &str = "attempt";
    /// There is nothing more.
    pub const END: &str = "end";
}

/// What an event of the stream of moves is called; one without a name is a [`RunEvent`](super::RunEvent).
pub mod run_event {
    /// Moves are missing here.
    pub const RESET: &str = "reset";
}

/// A run was made, or its state changed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "utoipa", derive(utoipa::ToSchema), schema(example = json!({
    "run_id": 7, "status": "running", "app_id": 1, "app_slug": "hello", "run_no": 3, "version_no": 1, "environment": "default",
    "priority": 0, "max_retries": 0, "retry_count": 0, "attempt_no": 1, "cancel_requested": false,
    "queued_at": "2026-01-02T03:04:01.000Z", "started_at": "2026-01-02T03:04:02.000Z", "runner": "r-1"
})))]
pub struct RunEvent {
    /// The run.
    pub run_id: i64,
    /// Its state.
    pub status: RunStatus,
    /// Its app.
    pub app_id: i64,
    /// That app's slug.
    pub app_slug: String,
    /// 1, 2, 3 … within the app.
    pub run_no: i64,
    /// The number of its version.
    pub version_no: i64,
    /// Where it runs.
    pub environment: String,
    /// Runs with a higher priority start first.
    pub priority: i64,
    /// How often it may start again.
    pub max_retries: i64,
    /// How often it started again.
    pub retry_count: i64,
    /// The number of its newest attempt. Absent before the first.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub attempt_no: Option<i64>,
    /// Whether somebody asked for its end.
    pub cancel_requested: bool,
    /// When it last entered the queue.
    pub queued_at: Timestamp,
    /// When it was first started.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub started_at: Option<Timestamp>,
    /// When it ended.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub finished_at: Option<Timestamp>,
    /// The job's exit code.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub exit_code: Option<i64>,
    /// Why it did not end well.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error_message: Option<String>,
    /// The runner of its newest attempt.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub runner: Option<String>,
    /// What it is found by.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub labels: BTreeMap<String, String>,
}

/// Data of the event `attempt` in the stream of a log: the lines that follow are of another attempt.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "utoipa", derive(utoipa::ToSchema), schema(example = json!({"run_id": 7, "attempt_no": 2})))]
pub struct AttemptEvent {
    /// The run.
    pub run_id: i64,
    /// The number of the attempt.
    pub attempt_no: i64,
}

/// Data of the event `end` in the stream of a log: there are no more lines.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "utoipa", derive(utoipa::ToSchema), schema(example = json!({
    "run_id": 7, "status": "completed", "attempt_no": 1, "exit_code": 0
})))]
pub struct EndEvent {
    /// The run.
    pub run_id: i64,
    /// The run's state. In the stream of one attempt it may go on.
    pub status: RunStatus,
    /// The number of the attempt whose log was the last. Absent if the run had none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub attempt_no: Option<i64>,
    /// The job's exit code.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub exit_code: Option<i64>,
    /// Why it did not end well.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error_message: Option<String>,
}
