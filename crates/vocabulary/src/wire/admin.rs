//! Runners as administrators see them, and fences.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::Timestamp;
pub use super::runner::RunnerScope;

/// Whether the server heard from a runner lately.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "utoipa", derive(utoipa::ToSchema))]
#[serde(rename_all = "lowercase")]
pub enum RunnerStatus {
    /// Polling now, or seen within three lease lengths.
    Online,
    /// Not seen for longer.
    Offline,
}

/// A runner.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "utoipa", derive(utoipa::ToSchema), schema(example = json!({
    "runner_id": 3, "name": "runner-1", "environment": "default", "status": "online", "last_seen_at":
    "2026-01-02T03:04:05.678Z", "scope": "team", "team": "sales", "pool": "cpu", "labels": {"python": "3.13.1"},
    "instance_id": "b1946ac9", "busy": true, "run_id": 41, "attempt_started_at": "2026-01-02T03:04:01.000Z",
    "draining": false
})))]
pub struct Runner {
    /// The runner's id.
    pub runner_id: i64,
    /// Its name, unique on the platform.
    pub name: String,
    /// The environment whose runs it takes.
    pub environment: String,
    /// Whether the server heard from it lately.
    pub status: RunnerStatus,
    /// When the server last heard from it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_seen_at: Option<Timestamp>,
    /// Whose runs it takes.
    pub scope: RunnerScope,
    /// The slug of the team whose runs it takes. Absent for a platform runner, and from older servers.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub team: Option<String>,
    /// The pool it belongs to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pool: Option<String>,
    /// The labels it registered with. Empty if they are longer than 512 bytes, and from older servers.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub labels: BTreeMap<String, String>,
    /// The process that last polled under this name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub instance_id: Option<String>,
    /// Whether it holds a run.
    pub busy: bool,
    /// Since when it has held no run.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub idle_since: Option<Timestamp>,
    /// The run it holds. A team does not see this of a platform runner.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub run_id: Option<i64>,
    /// Since when it has held that run. A team does not see this of a platform runner.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub attempt_started_at: Option<Timestamp>,
    /// Whether a fence keeps runs from it.
    pub draining: bool,
}

/// Answer of `GET /admin/runners`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "utoipa", derive(utoipa::ToSchema))]
pub struct Runners {
    /// The runners, by name.
    pub runners: Vec<Runner>,
}

/// Body of `POST` and `DELETE /admin/runners/{name}/drain`. It may be empty.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "utoipa", derive(utoipa::ToSchema), schema(example = json!({"owner": "upgrade"})))]
pub struct Drain {
    /// Who holds the fence. Default: the caller.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub owner: Option<String>,
}

/// Answer of both drain calls.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "utoipa", derive(utoipa::ToSchema), schema(example = json!({
    "name": "runner-1", "busy": true, "run_id": 41, "draining": true
})))]
pub struct Drained {
    /// The runner's name.
    pub name: String,
    /// Whether it holds a run.
    pub busy: bool,
    /// The run it holds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub run_id: Option<i64>,
    /// Whether any owner holds a fence.
    pub draining: bool,
}

/// Body of `POST /admin/runners/{name}/ended`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "utoipa", derive(utoipa::ToSchema), schema(example = json!({
    "instance_id": "b1946ac9", "reason": "the node was lost"
})))]
pub struct Ended {
    /// The process that has ended for certain.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub instance_id: Option<String>,
    /// Why it ended. This becomes the `error_message` of the attempt.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
}

/// Body of `POST /admin/pools/{namespace}/{pool}/token`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "utoipa", derive(utoipa::ToSchema), schema(example = json!({
    "environment": "default", "team": "sales"
})))]
pub struct CreatePoolToken {
    /// The environment whose runs the pool's runners take. Default `default`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub environment: Option<String>,
    /// The slug of the team whose runs the pool's runners take. If it is absent, they take the runs of every team.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub team: Option<String>,
}

/// A pool's new registration token.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "utoipa", derive(utoipa::ToSchema), schema(example = json!({
    "pool": "team-a/cpu", "environment": "default", "scope": "team", "team": "sales", "token": "mtg_AbC123"
})))]
pub struct PoolTokenCreated {
    /// The pool whose runners it registers, as they name it: its namespace, a slash, its name.
    pub pool: String,
    /// The environment in which it registers them.
    pub environment: String,
    /// Whose runs they take.
    pub scope: RunnerScope,
    /// The slug of the team whose runs they take. Absent for runners of the platform.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub team: Option<String>,
    /// The token. It is shown only once.
    pub token: String,
}
