//! Two replicas.

use std::time::Duration;

use minitower_tests::wait;
use serde_json::json;

use crate::controller::bed::{HOME, bed};

/// A Lease lasts 15 s after its last renewal; the other looks every two or so.
const TAKES_OVER: Duration = Duration::from_secs(20);

#[test]
fn the_other_takes_over_from_a_leader_that_was_killed() {
    let Some(bed) = bed("killed") else { return };
    let mut first = bed.operator("first").leads();
    bed.apply(&json!({ "replicas": 1 }));
    bed.wait_pods(1);
    let mut second = bed.operator("second");
    second.said("waits to lead", TAKES_OVER);
    first.program.kill();
    second.said("leads", TAKES_OVER);
    bed.apply(&json!({ "replicas": 3 }));
    bed.wait_pods(3);
    assert!((second.metric("minitower_operator_leader") - 1.0).abs() < f64::EPSILON);
    second.stop();
}

/// As after a release that was uninstalled together with the right to give up the Lease.
#[test]
fn a_leader_whose_pod_is_gone_is_followed_within_five_seconds() {
    let Some(bed) = bed("orphaned") else { return };
    let mut first = bed.operator("first").leads();
    first.program.kill();
    let pod = ["-n", HOME, "run", "second", "--image=i", "--restart=Never"];
    bed.api.kubectl(&pod, None).expect_ok();
    let mut second = bed.operator("second");
    second.said("waits to lead", TAKES_OVER);
    second.said("leads", Duration::from_secs(5));
    bed.api
        .kubectl(&["-n", HOME, "delete", "pod", "second", "--force", "--grace-period=0"], None)
        .expect_ok();
    second.stop();
}

#[test]
fn a_leader_that_loses_its_lease_leaves_that_as_its_last_words() {
    let Some(bed) = bed("lost") else { return };
    let mut operator = bed.operator("op").leads();
    let patch = r#"{"spec":{"holderIdentity":"another","leaseDurationSeconds":1}}"#;
    let lease = ["-n", HOME, "patch", "lease", "minitower-operator", "--type=merge", "-p", patch];
    bed.api.kubectl(&lease, None).expect_ok();
    wait::until("it ends", TAKES_OVER, || operator.program.ended());
    let words = std::fs::read_to_string(&operator.last_words).unwrap();
    assert_eq!(words, "lost the Lease minitower-operator: this replica is no longer the leader");
}

#[test]
fn a_leader_that_ends_in_order_lets_the_other_in_at_once() {
    let Some(bed) = bed("handed-over") else { return };
    let first = bed.operator("first").leads();
    let mut second = bed.operator("second");
    second.said("waits to lead", TAKES_OVER);
    first.stop();
    // One look, which comes every two seconds or so.
    second.said("leads", Duration::from_secs(6));
    second.stop();
}
