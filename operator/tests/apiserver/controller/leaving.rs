//! Pods that somebody deletes or evicts while their runners work.

use std::time::Duration;

use minitower_tests::server::OPERATOR_TOKEN;
use minitower_tests::wait;
use serde_json::{Value, json};

use crate::controller::bed::{Bed, SOON, bed};

/// A shield is raised when a run is 30 s old.
const SHIELDED: Duration = Duration::from_secs(50);

/// Keeps a deleted pod's object as long as a kubelet would that waits for its process; or no longer.
fn hold(bed: &Bed, pod: &str, holds: bool) {
    let finalizers = if holds { json!(["example.com/held"]) } else { Value::Null };
    let patch = json!({ "metadata": { "finalizers": finalizers } }).to_string();
    bed.cluster.kubectl(&["patch", "pod", pod, "--type=merge", "-p", &patch], None).expect_ok();
}

fn wait_leaving(bed: &Bed, pod: &str, reason: &str) -> Value {
    wait::until(&format!("{pod} leaves: {reason}"), SOON, || {
        let status = bed.cluster.pool("p")["status"].clone();
        let all = status["leavingRunners"].as_array()?.clone();
        all.into_iter().find(|one| one["name"] == *pod && one["reason"] == reason)
    })
}

#[test]
fn a_deleted_pods_runner_takes_no_further_run_and_is_shown_until_it_has_ended() {
    let Some(bed) = bed("leaving") else { return };
    let operator = bed.operator("op").leads();
    bed.apply(&json!({ "replicas": 2 }));
    let pods = bed.wait_pods(2);
    let runners = [bed.run_pod(&pods[0]), bed.run_pod(&pods[1])];
    let run = bed.team.run_id("hello");
    let lease = runners[0].lease_and_start();
    runners[1].idle();
    for pod in &pods {
        hold(&bed, pod, true);
        bed.cluster.kubectl(&["delete", "pod", pod, "--wait=false"], None).expect_ok();
    }
    // Which runner holds what is read once a second.
    wait::until("its run is shown", SOON, || {
        (wait_leaving(&bed, &pods[0], "Deleted")["runId"] == run).then_some(())
    });
    wait_leaving(&bed, &pods[1], "Deleted");
    let shown =
        bed.cluster.kubectl(&["get", "rp", "p", "-o", "jsonpath={.status.leaving}"], None).expect_ok();
    assert_eq!(shown.out, "2");
    wait::until("the busy one is news", SOON, || (!bed.events("BusyRunnerLeaves").is_empty()).then_some(()));
    assert_eq!(bed.events("BusyRunnerLeaves").len(), 1, "and only that one");
    bed.team.run_id("hello");
    runners[1].idle();

    // Its object goes, as with `kubectl delete --force`, and its process lives on.
    hold(&bed, &pods[0], false);
    assert_eq!(wait_leaving(&bed, &pods[0], "PodGone")["runId"], run);
    lease.complete().expect(200);
    runners[0].idle();
    wait::until("it holds none any longer", SOON, || {
        wait_leaving(&bed, &pods[0], "PodGone")["runId"].is_null().then_some(())
    });
    hold(&bed, &pods[1], false);
    operator.stop();
}

#[test]
fn the_runners_of_a_deleted_pool_take_no_further_run_either() {
    let Some(bed) = bed("left") else { return };
    let operator = bed.operator("op").leads();
    bed.apply(&json!({ "replicas": 1 }));
    let pod = bed.wait_pods(1).remove(0);
    let runner = bed.run_pod(&pod);
    runner.idle();
    wait::until("it is seen", SOON, || (bed.cluster.pool("p")["status"]["readyRunners"] == 1).then_some(()));
    hold(&bed, &pod, true);
    bed.cluster.kubectl(&["delete", "rp", "p", "--cascade=orphan", "--timeout=20s"], None).expect_ok();
    bed.cluster.kubectl(&["delete", "pod", &pod, "--wait=false"], None).expect_ok();
    wait::until("it is fenced", SOON, || {
        let runners =
            bed.server.http().get("/api/v1/admin/runners").bearer(OPERATOR_TOKEN).send().expect_json(200);
        let all = runners["runners"].as_array().unwrap().clone();
        all.iter().any(|one| one["name"] == *pod && one["draining"] == true).then_some(())
    });
    bed.team.run_id("hello");
    runner.idle();
    hold(&bed, &pod, false);
    operator.stop();
}

#[test]
fn a_pod_that_has_worked_for_a_while_is_not_evicted() {
    let Some(bed) = bed("evicted") else { return };
    let operator = bed.operator("op").leads();
    bed.apply(&json!({ "replicas": 1 }));
    let pod = bed.wait_pods(1).remove(0);
    let runner = bed.run_pod(&pod);
    bed.team.run_id("hello");
    let lease = runner.lease_and_start();
    let shield = |expected: &'static str| {
        wait::until(&format!("the shield is {expected:?}"), SHIELDED, || {
            lease.heartbeat();
            let path = "jsonpath={.metadata.labels.minitower\\.dev/shielded}";
            let said = bed.cluster.kubectl(&["get", "pod", &pod, "-o", path], None).expect_ok();
            (said.out == expected).then_some(())
        });
    };
    shield("true");
    let evict = || {
        let body = json!({ "apiVersion": "policy/v1", "kind": "Eviction", "metadata": { "name": pod, "namespace": bed.cluster.name() } });
        let path = format!("/api/v1/namespaces/{}/pods/{pod}/eviction", bed.cluster.name());
        bed.api.kubectl(&["create", "--raw", &path, "-f", "-"], Some(&body))
    };
    let refused = wait::until("the budget is known", SOON, || Some(evict()).filter(|said| !said.ok));
    assert!(refused.err.contains("disruption budget"), "{}", refused.err);
    lease.complete().expect(200);
    shield("");
    assert!(evict().ok, "an idle pod may go");
    operator.stop();
}
