//! The pool itself.
#![allow(clippy::duplicated_attributes, reason = "two columns may have the same type")]

use kube::CustomResource;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::bounds::{MAX_RUNNERS, MAX_SECONDS};
use super::rules;
use super::runner::Runner;
use super::scaling::Scaling;
use super::server::{OperatorTokenRef, RegistrationTokenRef, SecretRef, ServerRef};
use super::status::RunnerPoolStatus;
use super::template::Template;

/// The size and the template of a pool of runner pods for one environment of one control plane.
#[derive(CustomResource, Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[kube(
    group = "minitower.dev",
    version = "v1alpha1",
    kind = "RunnerPool",
    plural = "runnerpools",
    singular = "runnerpool",
    shortname = "rp",
    category = "minitower",
    namespaced,
    doc = "A pool of runner pods for one environment of one MiniTower control plane. The operator makes their number follow the queue, and never deletes a pod whose runner holds a run.",
    status = "RunnerPoolStatus",
    derive = "PartialEq",
    scale(
        spec_replicas_path = ".spec.replicas",
        status_replicas_path = ".status.replicas",
        label_selector_path = ".status.selector"
    ),
    printcolumn(
        name = "Environment",
        type_ = "string",
        description = "the environment whose queued runs it serves",
        json_path = ".spec.environment"
    ),
    printcolumn(
        name = "Min",
        type_ = "integer",
        description = "the fewest runners",
        json_path = ".spec.minRunners"
    ),
    printcolumn(
        name = "Max",
        type_ = "integer",
        description = "the most runners",
        json_path = ".spec.maxRunners"
    ),
    printcolumn(
        name = "Desired",
        type_ = "integer",
        description = "how many runners there should be",
        json_path = ".status.desiredRunners"
    ),
    printcolumn(
        name = "Ready",
        type_ = "integer",
        description = "runners that are online",
        json_path = ".status.readyRunners"
    ),
    printcolumn(
        name = "Busy",
        type_ = "integer",
        description = "runners that hold a run",
        json_path = ".status.busyRunners"
    ),
    printcolumn(
        name = "Pending",
        type_ = "integer",
        description = "runs that wait for a runner",
        json_path = ".status.pendingRuns"
    ),
    printcolumn(
        name = "Leaving",
        type_ = "integer",
        description = "runners on their way out, which take no further run",
        json_path = ".status.leaving"
    ),
    printcolumn(
        name = "Reason",
        type_ = "string",
        description = "the reason of the condition Ready",
        json_path = ".status.conditions[?(@.type==\"Ready\")].reason"
    ),
    printcolumn(name = "Age", type_ = "date", json_path = ".metadata.creationTimestamp"),
    printcolumn(
        name = "Pool Ready",
        type_ = "string",
        description = "the condition Ready",
        json_path = ".status.conditions[?(@.type==\"Ready\")].status",
        priority = 1
    ),
    printcolumn(
        name = "Last Decision",
        type_ = "string",
        description = "why the pool has the size it has",
        json_path = ".status.lastDecision.reason",
        priority = 1
    )
)]
#[serde(rename_all = "camelCase")]
#[schemars(extend("x-kubernetes-validations" = rules::schema(&rules::SPEC)))]
pub struct RunnerPoolSpec {
    /// The environment whose queued runs the pool serves.
    #[serde(default = "default_environment")]
    #[schemars(length(min = 1, max = 63), regex(pattern = "^[a-z0-9][a-z0-9._-]{0,62}$"))]
    pub environment: String,

    /// The control plane: exactly one of url and serviceRef.
    pub server: ServerRef,

    /// The Secret in the pool's namespace whose token lets a runner register. It is mounted into runner pods and nowhere else. If it is
    /// absent, the operator has the control plane make a token that registers this pool's runners and no others, and keeps it in the Secret
    /// NAME-registration. For that, it needs an operator token of the control plane: the token of a team's admin is not enough.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub registration_token_secret_ref: Option<RegistrationTokenRef>,

    /// The Secret in the pool's namespace with the token that the operator uses to read demand and to drain runners. If it is absent, the
    /// operator uses its own token, which it sends only to its own control plane. Required with any other control plane.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub operator_token_secret_ref: Option<OperatorTokenRef>,

    /// The Secret in the pool's namespace whose keys every job of the pool gets as variables. They are hidden in logs, are stored by no
    /// control plane, and change with the Secret from the next run on. Teams whose runs the pool takes can read them: set team to have
    /// only one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(extend("x-kubernetes-validations" = rules::schema(&rules::SECRET)))]
    pub secret_ref: Option<SecretRef>,

    /// The slug of the team whose registration token the runners register with. Only this team's queued runs count then, and only its
    /// runners belong to the pool. If it is absent, the runs of all teams count, and only runners that register with the platform's token
    /// belong to the pool.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 3, max = 32), regex(pattern = "^[a-z][a-z0-9-]{2,31}$"))]
    pub team: Option<String>,

    /// The fewest runners, even if there is no work.
    #[serde(default)]
    #[schemars(range(min = 0, max = MAX_RUNNERS))]
    pub min_runners: u32,

    /// The most runners, counted over all revisions of the template.
    #[serde(default = "default_max_runners")]
    #[schemars(range(min = 0, max = MAX_RUNNERS))]
    pub max_runners: u32,

    /// How many runners are kept free and warm, on top of demand.
    #[serde(default)]
    #[schemars(range(min = 0, max = MAX_RUNNERS))]
    pub min_idle: u32,

    /// If it is set, the pool has exactly this size, and minRunners, maxRunners and minIdle do not apply. If it is absent, the pool follows
    /// the queue. kubectl scale, a HorizontalPodAutoscaler and KEDA write it; remove it, and the pool follows the queue again. (An autoscaler
    /// reads it before it writes, and gets an error while it is absent: set it once first.)
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0, max = MAX_RUNNERS))]
    pub replicas: Option<u32>,

    /// How the size follows the queue.
    #[serde(default)]
    pub scaling: Scaling,

    /// If true, the pool neither grows nor shrinks. Pods that die are still replaced.
    #[serde(default)]
    pub paused: bool,

    /// How long, in seconds, a pod that must go may take to finish its run. It becomes the pod's terminationGracePeriodSeconds. At least 30,
    /// because a run that cannot finish must be stopped and released within this time.
    #[serde(default = "default_patience")]
    #[schemars(range(min = 30, max = MAX_SECONDS))]
    pub shutdown_grace_seconds: u32,

    /// Until how long after the start of its run, in seconds, a busy pod is protected from voluntary eviction, such as the drain of its node.
    /// The protection begins when a run is 30 s old; with 30 or less there is none.
    #[serde(default = "default_patience")]
    #[schemars(range(min = 0, max = MAX_SECONDS))]
    pub drain_deadline_seconds: u32,

    /// The runner's container.
    #[serde(default)]
    pub runner: Runner,

    /// Settings of the pod around the runner's container.
    #[serde(default, skip_serializing_if = "Template::is_empty")]
    pub template: Template,
}

fn default_environment() -> String {
    "default".to_owned()
}

fn default_max_runners() -> u32 {
    10
}

fn default_patience() -> u32 {
    3600
}
