//! From a queue to pods and back.

use minitower_tests::{Runner, wait};
use serde_json::json;

use crate::controller::bed::{SOON, bed};

#[test]
fn a_pool_follows_its_queue_and_what_holds_a_run_is_never_taken() {
    let Some(bed) = bed("queue") else { return };
    let operator = bed.operator("op").leads();
    let runs: Vec<i64> = (0..3).map(|_| bed.team.run_id("hello")).collect();
    bed.apply(&json!({}));
    let pods = bed.wait_pods(3);
    assert_eq!(bed.sizes(), [3]);
    let made = bed.list("pods");
    assert!(made.iter().all(|pod| pod["metadata"]["labels"]["minitower.dev/pool"] == "p"));
    assert!(made.iter().all(|pod| pod["status"]["phase"] == "Pending"), "there is no node");

    let runners: Vec<Runner> = pods.iter().map(|pod| bed.run_pod(pod)).collect();
    let mut leases: Vec<_> = runners.iter().map(Runner::lease_and_start).collect();
    wait::until("the pool says what its runners do", SOON, || {
        (bed.cluster.pool("p")["status"]["busyRunners"] == 3).then_some(())
    });
    assert_eq!(bed.wait_condition("Ready", "True").1, "3 of 3 runners are online");

    // The runs end one after the other: each time that pod goes, and no other.
    for (at, pod) in pods.iter().enumerate() {
        leases.remove(0).complete().expect(200);
        let left = bed.wait_pods(2 - at);
        assert!(!left.contains(pod), "{pod} is idle, and {left:?} were to stay");
    }
    for run in runs {
        assert_eq!(bed.team.status(run), "completed");
        assert_eq!(bed.team.attempts(run).len(), 1);
    }
    let shown = bed.cluster.kubectl(&["get", "rp", "p"], None).expect_ok().out;
    let columns: Vec<&str> = shown.lines().nth(1).unwrap().split_whitespace().collect();
    assert_eq!(columns[..7], ["p", "default", "0", "10", "0", "0", "0"], "{shown}");
    assert!(!bed.events("ScaledUp").is_empty() && !bed.events("ScaledDown").is_empty());

    // At rest it writes nothing.
    let writes = || operator.metric("minitower_operator_writes_total");
    let looks = || operator.metric("minitower_operator_reconcile_total");
    let (written, looked) = (writes(), looks());
    wait::until("three looks more", SOON, || (looks() >= looked + 3.0).then_some(()));
    assert!(writes() <= written + 1.0, "the fences of the last pod that went may just have been lifted");
    operator.stop();
}

#[test]
fn kubectl_scale_sets_the_size() {
    let Some(bed) = bed("scale") else { return };
    let operator = bed.operator("op").leads();
    bed.apply(&json!({ "replicas": 1 }));
    bed.wait_pods(1);
    bed.cluster.kubectl(&["scale", "rp/p", "--replicas=4"], None).expect_ok();
    let pods = bed.wait_pods(4);
    for pod in &pods {
        bed.run_pod(pod).idle();
    }
    wait::until("all are seen", SOON, || {
        (bed.cluster.pool("p")["status"]["readyRunners"] == 4).then_some(())
    });
    bed.cluster.kubectl(&["scale", "rp/p", "--replicas=2"], None).expect_ok();
    bed.wait_pods(2);
    wait::until("the scale says so", SOON, || {
        (bed.cluster.scale("p")["status"]["replicas"] == 2).then_some(())
    });
    assert_eq!(bed.cluster.scale("p")["status"]["selector"], "minitower.dev/pool=p");
    operator.stop();
}

#[test]
fn a_changed_template_takes_over_as_runs_end() {
    let Some(bed) = bed("rollout") else { return };
    let operator = bed.operator("op").leads();
    bed.apply(&json!({ "replicas": 2 }));
    let former = bed.wait_pods(2);
    let runners: Vec<Runner> = former.iter().map(|pod| bed.run_pod(pod)).collect();
    bed.team.run_id("hello");
    let busy = runners[0].lease_and_start();
    runners[1].idle();
    wait::until("it is seen", SOON, || (bed.cluster.pool("p")["status"]["busyRunners"] == 1).then_some(()));
    bed.apply(&json!({ "replicas": 2, "runner": { "image": "registry/other:2" } }));
    let new = wait::until("a pod of the new template", SOON, || {
        let pods = bed.pods();
        (pods.contains(&former[0]) && pods.iter().any(|pod| !former.contains(pod))).then_some(pods)
    });
    for pod in new.iter().filter(|pod| !former.contains(*pod)) {
        bed.run_pod(pod).idle();
    }
    wait::until("the idle one of the former template goes", SOON, || {
        (!bed.pods().contains(&former[1])).then_some(())
    });
    assert!(bed.pods().contains(&former[0]), "its run goes on");
    busy.complete().expect(200);
    wait::until("the former template is gone", SOON, || (bed.sizes() == [2]).then_some(()));
    assert!(!bed.wait_pods(2).contains(&former[0]));
    operator.stop();
}
