//! Two replicas.

use std::time::Duration;

use serde_json::json;

use crate::controller::bed::bed;

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
