//! Objects as the API server shows them.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use jiff::Timestamp;
use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::core::v1::Pod as KubePod;
use serde_json::{Map, Value, json};

use super::super::observe::{Expected, Observation, observe};
use super::super::pool::Pool;
use crate::crd::RunnerPool;
use crate::demand::{Demand, RunnerView, Scope, Snapshot};

/// Namespace of all objects.
pub(super) const NAMESPACE: &str = "ns";
/// The pool's name.
pub(super) const POOL: &str = "p";
/// The pool's uid.
pub(super) const UID: &str = "uid-of-p";
/// The pool's name on its control plane.
pub(super) const QUALIFIED: &str = "ns/p";

/// A pool of the shortest spec, with `patch` merged into the whole object.
pub(in super::super) fn pool_object(patch: &Value) -> RunnerPool {
    let shortest = json!({
        "apiVersion": "minitower.dev/v1alpha1",
        "kind": "RunnerPool",
        "metadata": { "name": POOL, "namespace": NAMESPACE, "uid": UID, "generation": 1 },
        "spec": {
            "server": { "url": "http://tower:8080/" },
            "registrationTokenSecretRef": { "name": "tokens" },
            "operatorTokenSecretRef": { "name": "tokens" },
        },
    });
    serde_json::from_value(merged(shortest, patch)).unwrap()
}

/// The same pool, validated.
pub(super) fn pool(patch: &Value) -> Pool {
    Pool::new(&pool_object(patch), None).unwrap()
}

/// `object` with `patch` merged into it, as JSON Merge Patch (RFC 7396) has it.
pub(super) fn merged(object: Value, patch: &Value) -> Value {
    let Value::Object(patch) = patch else { return patch.clone() };
    let mut all = match object {
        Value::Object(entries) => entries,
        _ => Map::new(),
    };
    for (key, value) in patch {
        let old = all.remove(key).unwrap_or(Value::Null);
        if !value.is_null() {
            all.insert(key.clone(), merged(old, value));
        }
    }
    Value::Object(all)
}

/// The Deployment of a revision, in version 10, with `patch` merged into it.
pub(super) fn deployment(revision: &str, replicas: u32, patch: &Value) -> Arc<Deployment> {
    let whole = json!({
        "metadata": {
            "name": format!("{POOL}-{revision}"), "namespace": NAMESPACE, "resourceVersion": "10",
            "labels": { "minitower.dev/pool": POOL, "minitower.dev/revision": revision },
            "ownerReferences": [
                { "apiVersion": "minitower.dev/v1alpha1", "kind": "RunnerPool", "name": POOL, "uid": UID, "controller": true },
            ],
        },
        "spec": { "replicas": replicas, "selector": {}, "template": {} },
    });
    Arc::new(serde_json::from_value(merged(whole, patch)).unwrap())
}

/// A pod of a revision whose container runs, in version 20, with `patch` merged into it.
pub(super) fn pod(name: &str, revision: &str, patch: &Value) -> Arc<KubePod> {
    let whole = json!({
        "metadata": {
            "name": name, "namespace": NAMESPACE, "resourceVersion": "20", "creationTimestamp": "2026-01-02T03:00:00Z",
            "labels": { "minitower.dev/pool": POOL, "minitower.dev/revision": revision },
        },
        "status": { "phase": "Running", "containerStatuses": [container(true, &json!({ "running": {} }))] },
    });
    Arc::new(serde_json::from_value(merged(whole, patch)).unwrap())
}

/// The runner's container in a pod's status.
pub(super) fn container(ready: bool, state: &Value) -> Value {
    json!({ "name": "runner", "image": "i", "imageID": "", "ready": ready, "restartCount": 0, "state": state })
}

/// A patch for [`pod`] that puts its container into this state.
pub(super) fn in_state(state: &Value) -> Value {
    json!({ "status": { "containerStatuses": [container(false, state)] } })
}

/// An idle runner of the pool.
pub(super) fn runner(name: &str) -> RunnerView {
    RunnerView {
        name: name.to_owned(),
        pool: Some(QUALIFIED.to_owned()),
        scope: Scope::Platform,
        environment: "default".to_owned(),
        online: true,
        busy: false,
        idle_since: None,
        run_id: None,
        attempt_started_at: None,
        draining: false,
        instance_id: None,
    }
}

/// A runner of the pool that holds a run, in a process of that name.
pub(super) fn busy(name: &str, instance: &str) -> RunnerView {
    RunnerView { busy: true, run_id: Some(7), instance_id: Some(instance.to_owned()), ..runner(name) }
}

/// What a control plane says.
pub(super) fn snapshot(pending: u64, runners: Vec<RunnerView>) -> Snapshot {
    let pending = [(("acme".to_owned(), "default".to_owned()), pending)];
    Snapshot { taken_at: Instant::now(), pending: HashMap::from(pending), runners }
}

/// Observes these, without any writes before.
pub(super) fn seen(
    deployments: &[Arc<Deployment>],
    pods: &[Arc<KubePod>],
    snapshot: &Snapshot,
) -> Observation {
    seen_after(deployments, pods, snapshot, &mut Expected::default(), Duration::ZERO)
}

/// Observes these, after the writes in `expected`.
pub(super) fn seen_after(
    deployments: &[Arc<Deployment>],
    pods: &[Arc<KubePod>],
    snapshot: &Snapshot,
    expected: &mut Expected,
    now: Duration,
) -> Observation {
    observe(&pool(&json!({})), "new", deployments, pods, Demand::Known(snapshot), expected, now)
}

/// A moment.
pub(super) fn at(time: &str) -> Timestamp {
    time.parse().unwrap()
}
