//! The status: what the operator reports.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, Time};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// The most runners that `leavingRunners` lists.
pub const MAX_LEAVING: usize = 20;

/// What the operator has seen and done.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, rename_all = "camelCase")]
pub struct RunnerPoolStatus {
    /// The generation of the spec that this status describes.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub observed_generation: Option<i64>,

    /// How many pods exist, over all revisions of the template.
    pub replicas: u32,

    /// How many runners are online.
    pub ready_runners: u32,

    /// How many runners hold a run. Absent while the control plane does not say.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub busy_runners: Option<u32>,

    /// How many online runners hold no run. Absent while the control plane does not say.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub idle_runners: Option<u32>,

    /// How many runners are on their way out: their pods are being deleted, or are gone while the runner is still heard of. They take no
    /// further run, and are in none of the numbers above. Absent if there are none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub leaving: Option<u32>,

    /// These runners, those that hold a run first, at most 20 of them.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = MAX_LEAVING), extend("x-kubernetes-list-type" = "map", "x-kubernetes-list-map-keys" = ["name"]))]
    pub leaving_runners: Vec<LeavingRunner>,

    /// How many runs wait for a runner. Absent while the control plane does not say.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pending_runs: Option<u64>,

    /// How many runners there should be.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub desired_runners: Option<u32>,

    /// How well the queue is known.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub demand: Option<Demand>,

    /// The last change of size, and why.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub last_decision: Option<LastDecision>,

    /// When the size last changed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub last_scale_time: Option<Time>,

    /// The label selector of the pods, for kubectl scale and HorizontalPodAutoscalers.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub selector: Option<String>,

    /// Ready, Progressing, DemandAvailable, ScalingLimited, Paused, Degraded, EnvironmentShared.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schemars(extend("x-kubernetes-list-type" = "map", "x-kubernetes-list-map-keys" = ["type"]))]
    pub conditions: Vec<Condition>,
}

/// A runner on its way out.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct LeavingRunner {
    /// The name of the runner and of its pod.
    pub name: String,

    /// The run that it still holds. Absent if it holds none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub run_id: Option<i64>,

    /// Why it leaves: Deleted, PodGone, or the reason of its pod's condition DisruptionTarget, such as EvictionByEvictionAPI.
    pub reason: String,

    /// When its pod was deleted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub since: Option<Time>,

    /// When its pod is killed, whatever it still does.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub until: Option<Time>,
}

/// The conditions of a pool's status.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ConditionType {
    /// All runners that there should be are online.
    Ready,
    /// The pool is changing its size or its template.
    Progressing,
    /// The control plane answers.
    DemandAvailable,
    /// A bound keeps the pool from the size that the demand asks for.
    ScalingLimited,
    /// `spec.paused` holds the size.
    Paused,
    /// Something is wrong that a person has to look at.
    Degraded,
    /// Another pool serves the same environment.
    EnvironmentShared,
}

impl ConditionType {
    /// Every condition.
    pub const ALL: [Self; 7] = [
        Self::Ready,
        Self::Progressing,
        Self::DemandAvailable,
        Self::ScalingLimited,
        Self::Paused,
        Self::Degraded,
        Self::EnvironmentShared,
    ];

    /// The condition's `type`.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Ready => "Ready",
            Self::Progressing => "Progressing",
            Self::DemandAvailable => "DemandAvailable",
            Self::ScalingLimited => "ScalingLimited",
            Self::Paused => "Paused",
            Self::Degraded => "Degraded",
            Self::EnvironmentShared => "EnvironmentShared",
        }
    }
}

/// How well the queue is known.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, rename_all = "camelCase")]
pub struct Demand {
    /// Known; Stale: the last good reading is younger than 60 s, and the pool may grow but does not shrink; or Unknown: only the bounds change
    /// the size.
    pub state: DemandState,

    /// When the last good reading was taken.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub as_of: Option<Time>,
}

/// How well the queue is known.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum DemandState {
    /// The control plane answered.
    Known,
    /// It does not answer, but it did within the last 60 s.
    Stale,
    /// It does not answer, or never did.
    #[default]
    Unknown,
}

/// A change of size.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct LastDecision {
    /// When.
    pub at: Time,
    /// How many runners there should have been before.
    pub from: u32,
    /// How many there should be since.
    pub to: u32,
    /// Why, in a sentence.
    pub reason: String,
}
