//! The order in which runs are leased.

use minitower_tests::shape;
use serde_json::json;

use super::{APP, Bed};

#[test]
fn the_queue_is_ordered_by_priority_then_age() {
    let bed = Bed::start();
    let queue = |priority: i64| shape::int(&bed.team.run(APP, json!({"priority": priority})), "run_id");
    let (usual_first, low, high_first, usual_second, high_second) =
        (queue(0), queue(-5), queue(7), queue(0), queue(7));
    let runner = bed.runner("r1");
    let order: Vec<i64> = (0..5)
        .map(|_| {
            let lease = runner.lease_and_start();
            lease.complete().expect(200);
            lease.run
        })
        .collect();
    assert_eq!(order, [high_first, high_second, usual_first, usual_second, low]);
    runner.idle();
}

#[test]
fn a_run_that_expired_queues_behind_those_that_waited() {
    let bed = Bed::with_lease_ttl("1s");
    let lost = shape::int(&bed.team.run(APP, json!({"max_retries": 1})), "run_id");
    let (one, two) = (bed.runner("r1"), bed.runner("r2"));
    one.lease();
    let waiting = bed.run();
    bed.team.wait_status(lost, "queued");
    let next = two.lease();
    assert_eq!(next.run, waiting);
    assert_eq!(one.lease().run, lost);
}

#[test]
fn runs_are_numbered_within_their_app_and_counted() {
    let bed = Bed::start();
    bed.team.python_app("second", "print()");
    let numbers: Vec<i64> = (0..3).map(|_| shape::int(&bed.team.run(APP, json!({})), "run_no")).collect();
    assert_eq!(numbers, [1, 2, 3]);
    assert_eq!(bed.team.run("second", json!({}))["run_no"], 1);
    let runner = bed.runner("r1");
    runner.lease_and_start().complete().expect(200);
    runner.lease();
    let summary = bed.team.get("/runs/summary").send().expect_json(200);
    let expected = json!({"total_runs": 4, "active_runs": 1, "queued_runs": 2, "terminal_runs": 1});
    assert_eq!(summary, expected);
}
