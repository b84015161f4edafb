//! The shield of busy pods: while a pod's runner has worked on a run for some time, autoscalers leave its node alone and an eviction is
//! refused. It ends with the run, or `drainDeadlineSeconds` after the run began: a node that has to go goes in the end.

use std::collections::BTreeMap;
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use k8s_openapi::api::core::v1::Pod as KubePod;
use k8s_openapi::api::policy::v1::{PodDisruptionBudget, PodDisruptionBudgetSpec};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{LabelSelector, ObjectMeta};
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;
use kube::ResourceExt as _;
use serde_json::{Value, json};

use super::build;
use super::observe::Observation;
use super::plan::Runner;
use super::pool::{POOL_LABEL, Pool};

/// The label of a shielded pod. The pool's `PodDisruptionBudget` selects it.
pub const SHIELDED: &str = "minitower.dev/shielded";
/// The cluster autoscaler does not remove the node of a pod whose annotation says `false`.
const SAFE_TO_EVICT: &str = "cluster-autoscaler.kubernetes.io/safe-to-evict";
/// Karpenter does not disrupt the node of a pod whose annotation says `true`.
const DO_NOT_DISRUPT: &str = "karpenter.sh/do-not-disrupt";
/// How old a run must be: most runs are over before anything could evict their pods, and need no writes.
const AFTER: SignedDuration = SignedDuration::from_secs(30);
/// How long a `PodDisruptionBudget` that exists is trusted to exist.
pub const BUDGET_HOLDS: Duration = Duration::from_secs(60);

/// The pods whose shield is to be raised (`true`) or taken away, in a fixed order.
pub fn due(pool: &Pool, observation: &Observation, now: Timestamp) -> Vec<(String, bool)> {
    let deadline = SignedDuration::from_secs(pool.spec.drain_deadline_seconds.into());
    let mut due: Vec<(String, bool)> = observation
        .observed
        .pods()
        .filter_map(|pod| {
            let seen = observation.pods.get(&pod.name)?;
            let wanted = match pod.runner {
                Runner::Busy { since: Some(since) } => {
                    let age = now.duration_since(since);
                    AFTER <= age && age < deadline
                }
                // A run whose age is not told may have begun just now.
                Runner::Busy { since: None } | Runner::Idle { .. } | Runner::Absent => false,
            };
            (wanted != is_shielded(seen)).then(|| (pod.name.clone(), wanted))
        })
        .collect();
    due.sort();
    due
}

/// Whether a pod carries the shield.
pub fn is_shielded(pod: &KubePod) -> bool {
    pod.labels().contains_key(SHIELDED)
}

/// The change to a pod's metadata that raises the shield or takes it away. Annotations that the pool's template sets come back.
pub fn patch(pool: &Pool, pod: &KubePod, raise: bool) -> Value {
    let given = |key: &str| pool.spec.template.annotations.get(key);
    let annotations = if raise {
        json!({ SAFE_TO_EVICT: "false", DO_NOT_DISRUPT: "true" })
    } else {
        json!({ SAFE_TO_EVICT: given(SAFE_TO_EVICT), DO_NOT_DISRUPT: given(DO_NOT_DISRUPT) })
    };
    json!({ "metadata": {
        "resourceVersion": pod.metadata.resource_version,
        "labels": { SHIELDED: raise.then_some("true") },
        "annotations": annotations,
    } })
}

/// The budget that refuses to evict shielded pods. Like the pool's Deployments it is deleted with the pool.
pub fn budget(pool: &Pool) -> PodDisruptionBudget {
    let selected: BTreeMap<String, String> =
        [(POOL_LABEL.to_owned(), pool.name.clone()), (SHIELDED.to_owned(), "true".to_owned())].into();
    PodDisruptionBudget {
        metadata: ObjectMeta {
            name: Some(format!("{}-shielded", pool.name)),
            namespace: Some(pool.namespace.clone()),
            labels: Some(build::labels(&pool.name)),
            owner_references: Some(vec![pool.owner.clone()]),
            ..ObjectMeta::default()
        },
        spec: Some(PodDisruptionBudgetSpec {
            max_unavailable: Some(IntOrString::Int(0)),
            selector: Some(LabelSelector { match_labels: Some(selected), ..LabelSelector::default() }),
            // A pod that is not ready runs no job that this could save.
            unhealthy_pod_eviction_policy: Some("AlwaysAllow".to_owned()),
            ..PodDisruptionBudgetSpec::default()
        }),
        ..PodDisruptionBudget::default()
    }
}
