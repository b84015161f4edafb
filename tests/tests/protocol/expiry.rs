//! What becomes of runs whose runner is not heard of again.

use minitower_tests::{Lease, shape, wait};
use serde_json::json;

use super::{APP, Bed};

/// Long enough for the calls of a test, short enough to wait for.
const TTL: &str = "1s";

#[test]
fn expiry_requeues_and_at_the_limit_the_run_is_dead() {
    let bed = Bed::with_lease_ttl(TTL);
    let queued = bed.team.run(APP, json!({"max_retries": 1}));
    let run = shape::int(&queued, "run_id");
    let (one, two) = (bed.runner("r1"), bed.runner("r2"));

    one.lease_and_start();
    let again = bed.team.wait_status(run, "queued");
    assert_eq!(again["retry_count"], 1);
    assert!(shape::time(&again, "queued_at") > shape::time(&queued, "queued_at"), "it queues anew");
    shape::fields(&again, &["started_at"], &["finished_at"]);

    let second = two.lease();
    assert_eq!((second.run, &second.body["attempt_no"]), (run, &json!(2)));
    let dead = bed.team.wait_status(run, "dead");
    assert_eq!(dead["retry_count"], 1);
    shape::fields(&dead, &["finished_at"], &[]);
    assert_eq!(bed.attempt_statuses(run), ["expired", "expired"]);
    two.idle();
}

#[test]
fn a_run_without_retries_is_dead_at_its_first_expiry() {
    let bed = Bed::with_lease_ttl(TTL);
    let run = bed.run();
    bed.runner("r1").lease_and_start();
    let dead = bed.team.wait_status(run, "dead");
    assert_eq!((&dead["retry_count"], &dead["max_retries"]), (&json!(0), &json!(0)));
}

#[test]
fn heartbeats_keep_a_lease_alive_beyond_its_first_length() {
    let bed = Bed::with_lease_ttl(TTL);
    let run = bed.run();
    let lease = bed.runner("r1").lease_and_start();
    let first = shape::time(&lease.body, "lease_expires_at");
    wait::until("the lease reaches three lengths", wait::SOON, || {
        let beat = lease.heartbeat().expect_json(200);
        let now = shape::time(&beat, "lease_expires_at");
        (now.duration_since(first).as_millis() > 2_000).then_some(())
    });
    assert_eq!(bed.team.status(run), "running");
    lease.complete().expect(200);
}

#[test]
fn an_expired_lease_is_refused_on_all_calls_and_changes_nothing() {
    let bed = Bed::with_lease_ttl(TTL);
    let run = bed.run();
    let lease = bed.runner("r1").lease_and_start();
    let dead = bed.team.wait_status(run, "dead");
    for call in Lease::CALLS {
        lease.call(call).expect_error(410, "gone");
    }
    assert_eq!(bed.team.read(run), dead);
    assert!(bed.team.logs(run).is_empty());
}

#[test]
fn a_late_result_does_not_end_a_run_that_expired_and_went_to_another_runner() {
    let bed = Bed::with_lease_ttl("2s");
    let run = shape::int(&bed.team.run(APP, json!({"max_retries": 1})), "run_id");
    let late = bed.runner("r1").lease_and_start();
    bed.team.wait_status(run, "queued");
    late.complete().expect_error(410, "gone");
    let current = bed.runner("r2").lease_and_start();
    late.complete().expect_error(410, "gone");
    assert_eq!(bed.team.status(run), "running");
    current.result(json!({"status": "failed", "exit_code": 3, "reason": "exit"})).expect(200);
    late.complete().expect_error(410, "gone");
    let ended = bed.team.read(run);
    assert_eq!((&ended["status"], &ended["exit_code"]), (&json!("failed"), &json!(3)));
}

#[test]
fn expiry_racing_a_result_leaves_exactly_one_outcome() {
    let bed = Bed::with_lease_ttl("1s");
    let runner = bed.runner("r1");
    // Results are sent ever closer to the end of the lease, from well before to well behind it.
    for early_ms in [300, 100, 40, 10, 0, -10, -40, -100] {
        let run = bed.run();
        let lease = runner.lease_and_start();
        let length = u64::try_from(1_000 - early_ms).unwrap();
        wait::pass(std::time::Duration::from_millis(length));
        let answer = lease.complete();
        let ended = bed.team.wait_end(run);
        match answer.status {
            200 => assert_eq!(ended["status"], "completed", "an acknowledged result stays"),
            410 => assert_eq!(ended["status"], "dead", "a refused result is without effect"),
            other => panic!("result answered {other}: {}", answer.text()),
        }
        assert_eq!(bed.team.attempts(run).len(), 1);
    }
}

#[test]
fn an_accepted_result_is_answered_the_same_after_the_lease_ran_out() {
    let bed = Bed::with_lease_ttl(TTL);
    let run = bed.run();
    let lease = bed.runner("r1").lease_and_start();
    lease.complete().expect(200);
    wait::pass(std::time::Duration::from_millis(1_300));
    lease.complete().expect(200);
    lease.result(json!({"status": "failed", "exit_code": 1})).expect_error(409, "conflict");
    assert_eq!(bed.team.status(run), "completed");
}

#[test]
fn a_cancel_wins_over_an_expiry() {
    let bed = Bed::with_lease_ttl(TTL);
    let run = shape::int(&bed.team.run(APP, json!({"max_retries": 5})), "run_id");
    bed.runner("r1").lease_and_start();
    assert_eq!(bed.team.cancel(run)["status"], "cancelling");
    let ended = bed.team.wait_end(run);
    assert_eq!((&ended["status"], &ended["retry_count"]), (&json!("cancelled"), &json!(0)));
}

#[test]
fn a_runner_that_is_not_seen_goes_offline_and_a_poll_brings_it_back() {
    let bed = Bed::with_lease_ttl(TTL);
    let runner = bed.team_runner("r1");
    runner.idle();
    let status = || bed.team.runner("r1").unwrap()["status"].clone();
    assert_eq!(status(), "online");
    wait::until("the runner is offline after three leases' lengths", wait::SOON, || {
        (status() == "offline").then_some(())
    });
    runner.idle();
    assert_eq!(status(), "online");
}
