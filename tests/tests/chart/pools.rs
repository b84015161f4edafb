//! Pools by values, by `kubectl`, by somebody else; and what the cluster refuses.

use std::time::Duration;

use minitower_tests::wait;
use serde_json::{Value, json};

use crate::harness::{CLAIM, Product, Release, kubectl, wait_gone};

/// Until a run on an empty pool has ended.
const RUN: Duration = Duration::from_secs(90);
/// What a person sets by `kubectl scale`.
const BY_HAND: &str = "2";

fn pool(release: &Release, name: &str, environment: &str) -> Value {
    json!({"apiVersion": "minitower.dev/v1alpha1", "kind": "RunnerPool",
    "metadata": {"name": name, "namespace": release.namespace},
    "spec": {
        "server": {"serviceRef": {"name": CLAIM}}, "registrationTokenSecretRef": {"name": CLAIM},
        "environment": environment, "maxRunners": 1
    }})
}

/// The specs of all pools of the release.
pub(crate) fn specs(release: &Release) -> Vec<(String, Value)> {
    let args = ["get", "rp", "-n", &release.namespace, "-l", "minitower.dev/pools-of=mt-minitower-pools"];
    let list = kubectl::json(&args);
    let items = list["items"].as_array().expect("a list of pools");
    items.iter().map(|pool| (pool["metadata"]["name"].to_string(), pool["spec"].clone())).collect()
}

/// Before an upgrade: the size of the default pool is somebody's.
pub(crate) fn scale_by_hand(release: &Release) {
    release.kubectl(&["scale", "rp/default", &format!("--replicas={BY_HAND}")]);
}

/// A second pool, by values.
pub(crate) fn add_second(release: &mut Release) {
    release.set(r#"runnerPools.second={"environment": "second", "maxRunners": 1}"#);
}

/// It runs a job; what was scaled by hand has its size still.
pub(crate) fn second_serves(release: &Release, product: &Product) {
    let size = release.kubectl(&["get", "rp", "default", "-o", "jsonpath={.spec.replicas}"]);
    assert_eq!(size, BY_HAND, "the upgrade took a size away that was set by hand");
    release.kubectl(&["patch", "rp", "default", "--type=merge", "-p", r#"{"spec": {"replicas": null}}"#]);
    let lines = product.python("second", "second", "print('of the second')", RUN);
    assert_eq!(lines, ["of the second"]);
}

/// A pool that a person makes runs a job too.
pub(crate) fn own_serves(release: &Release, product: &Product) {
    kubectl::apply(&[pool(release, "own", "own")]);
    let lines = product.python("own", "own", "print('of my own')", RUN);
    assert_eq!(lines, ["of my own"]);
}

/// The second pool leaves the values.
pub(crate) fn remove_second(release: &mut Release) {
    release.unset("runnerPools.second");
}

/// It goes with its pods; a person's own stays.
pub(crate) fn second_is_gone(release: &Release) {
    wait_gone("the second pool with its pods", Duration::from_secs(60), || {
        let mut left = release.objects("rp,deployments,pods");
        left.retain(|it| it.contains("/second"));
        left
    });
    assert!(release.object("rp", "own").is_some(), "the upgrade took a pool that is not the release's");
}

/// A pool that breaks a rule of the definition, and one whose name somebody else has: the upgrade fails with the API server's words and
/// the way out; the others are as they were.
pub(crate) fn refused(release: &mut Release) {
    kubectl::apply(&[pool(release, "theirs", "theirs")]);
    let before = specs(release);
    release.set(r#"runnerPools.wrong={"minRunners": 3, "maxRunners": 1}"#);
    release.set(r#"runnerPools.theirs={"environment": "mine"}"#);
    let said = release.try_upgrade().expect_err("a pool that breaks a rule fails the upgrade");
    for words in [
        "RunnerPool wrong:",
        "spec.minRunners must not be greater than spec.maxRunners",
        "RunnerPool theirs exists and does not belong to mt-minitower-pools: give the pool another name",
        "2 of 3 pools could not be applied or deleted",
    ] {
        assert!(said.contains(words), "without {words:?}: {said}");
    }
    assert_eq!(specs(release), before, "a pool changed that was right");
    let theirs = release.object("rp", "theirs").expect("somebody's pool stays");
    assert_eq!(theirs["spec"]["environment"], "theirs");
    release.unset("runnerPools.wrong");
    release.unset("runnerPools.theirs");
    release.kubectl(&["delete", "rp", "theirs"]);
}

/// Waits until the pools of the release are these.
#[track_caller]
pub(crate) fn wait_specs(release: &Release, wanted: &[(String, Value)]) {
    let found = wait::find(Duration::from_secs(30), || (specs(release) == wanted).then_some(()));
    assert!(found.is_some(), "the pools are {:#?}, and ought to be {wanted:#?}", specs(release));
}
