//! Pools of runners, as their operator reports them.

use serde::{Deserialize, Serialize};

use super::Timestamp;
pub use crate::statuses::PoolState;

/// Body of `PUT /admin/pools/{namespace}/{pool}`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "utoipa", derive(utoipa::ToSchema), schema(example = json!({
    "environment": "default", "state": "at_maximum", "min": 0, "max": 3, "desired": 3, "ready": 3,
    "message": "5 runners are wanted but spec.maxRunners is 3: raise it if runs wait too long"
})))]
pub struct ReportPool {
    /// The environment whose runs the pool's runners take. Default `default`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub environment: Option<String>,
    /// The slug of the team whose runs they take. If it is absent, they take the runs of every team.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub team: Option<String>,
    /// How it stands.
    pub state: PoolState,
    /// The fewest runners it has.
    pub min: u32,
    /// The most runners it has.
    pub max: u32,
    /// How many runners there should be now.
    pub desired: u32,
    /// How many are online.
    pub ready: u32,
    /// The same for people, in one line of 1 to 2,000 bytes. Whoever asks why a run waits for the pool reads it.
    pub message: String,
}

/// A pool, as it was last reported.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "utoipa", derive(utoipa::ToSchema), schema(example = json!({
    "pool": "team-a/cpu", "environment": "default", "team": "sales", "state": "ready", "min": 0, "max": 3, "desired": 1,
    "ready": 1, "message": "the size is what the demand asks for", "reported_at": "2026-01-02T03:04:05.678Z"
})))]
pub struct Pool {
    /// Its namespace, a slash, its name.
    pub pool: String,
    /// The environment whose runs its runners take.
    pub environment: String,
    /// The slug of the team whose runs they take. Absent: they take the runs of every team.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub team: Option<String>,
    /// How it stands.
    pub state: PoolState,
    /// The fewest runners it has.
    pub min: u32,
    /// The most runners it has.
    pub max: u32,
    /// How many runners there should be.
    pub desired: u32,
    /// How many are online.
    pub ready: u32,
    /// The same for people.
    pub message: String,
    /// When that was reported. A pool that is not reported again is forgotten 90 seconds later.
    pub reported_at: Timestamp,
}

/// Answer of `GET /admin/pools`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "utoipa", derive(utoipa::ToSchema))]
pub struct Pools {
    /// The pools, by name.
    pub pools: Vec<Pool>,
}
