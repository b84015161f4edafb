//! Repeated and contradicting calls under a lease.

use minitower_tests::{Lease, shape};
use serde_json::json;

use super::{APP, Bed};

#[test]
fn a_repeated_start_answers_the_same() {
    let bed = Bed::start();
    let run = bed.run();
    let lease = bed.runner("r1").lease();
    let first = lease.start().expect_json(200);
    let started_at = bed.team.read(run)["started_at"].clone();
    assert_eq!(lease.start().expect_json(200), first);
    assert_eq!(bed.team.read(run)["started_at"], started_at);
}

#[test]
fn a_repeated_heartbeat_only_extends() {
    let bed = Bed::start();
    bed.run();
    let lease = bed.runner("r1").lease_and_start();
    let first = lease.heartbeat().expect_json(200);
    let second = lease.heartbeat().expect_json(200);
    assert!(shape::time(&second, "lease_expires_at") >= shape::time(&first, "lease_expires_at"));
    for field in ["attempt_id", "attempt_no", "status", "cancel_requested", "run_status", "lease_ttl_ms"] {
        assert_eq!(first[field], second[field]);
    }
}

#[test]
fn repeated_log_lines_are_kept_once_as_they_came_first() {
    let bed = Bed::start();
    let run = bed.run();
    let lease = bed.runner("r1").lease_and_start();
    let ok = lease.logs(&[(1, "one"), (2, "two")]).expect_json(200);
    assert_eq!(ok, json!({"status": "ok"}));
    lease.logs(&[(2, "another two"), (3, "three")]).expect(200);
    lease.logs(&[(1, "one"), (2, "two")]).expect(200);
    assert_eq!(bed.team.stream(run, "stdout"), ["one", "two", "three"]);
}

#[test]
fn log_lines_that_arrive_out_of_order_are_read_in_order() {
    let bed = Bed::start();
    let run = bed.run();
    let lease = bed.runner("r1").lease_and_start();
    lease.logs(&[(3, "three"), (2, "two")]).expect(200);
    lease.logs(&[(1, "one")]).expect(200);
    assert_eq!(bed.team.stream(run, "stdout"), ["one", "two", "three"]);
}

#[test]
fn a_repeated_result_is_accepted_and_the_first_write_stays() {
    let bed = Bed::start();
    let run = bed.run();
    let lease = bed.runner("r1").lease_and_start();
    let ok = lease.result(json!({"status": "failed", "exit_code": 2, "reason": "exit"})).expect_json(200);
    assert_eq!(ok, json!({"status": "ok"}));
    let before = bed.team.read(run);
    lease.result(json!({"status": "failed", "exit_code": 9, "error_message": "later"})).expect(200);
    assert_eq!(bed.team.read(run), before);
    assert_eq!(before["exit_code"], 2);
}

#[test]
fn a_conflicting_second_result_is_refused() {
    let bed = Bed::start();
    let run = bed.run();
    let lease = bed.runner("r1").lease_and_start();
    lease.complete().expect(200);
    for status in ["failed", "cancelled"] {
        lease.result(json!({"status": status})).expect_error(409, "conflict");
    }
    assert_eq!(bed.team.status(run), "completed");
}

#[test]
fn no_call_moves_a_run_that_has_ended() {
    let bed = Bed::start();
    let run = bed.run();
    let lease = bed.runner("r1").lease_and_start();
    lease.complete().expect(200);
    let before = bed.team.read(run);
    for call in ["start", "heartbeat", "logs", "artifact", "release"] {
        let answer = lease.call(call);
        assert!([409, 410].contains(&answer.status), "{call} answered {}", answer.status);
    }
    assert_eq!(bed.team.read(run), before);
    assert_eq!(bed.attempt_statuses(run), ["completed"]);
}

#[test]
fn a_result_is_told_as_it_was_reported() {
    let bed = Bed::start();
    let run = bed.run();
    let lease = bed.runner("r1").lease_and_start();
    let body = json!({"status": "failed", "exit_code": 137, "error_message": "killed", "reason": "signal"});
    lease.result(body).expect(200);
    let ended = bed.team.read(run);
    assert_eq!((&ended["exit_code"], &ended["error_message"]), (&json!(137), &json!("killed")));
    assert_eq!(ended["runner"], "r1");
    let attempts = bed.team.attempts(run);
    assert_eq!(attempts.len(), 1);
    shape::fields(&attempts[0], &["leased_at", "started_at", "finished_at"], &[]);
    assert_eq!(attempts[0]["reason"], "signal");
    assert_eq!(attempts[0]["exit_code"], 137);
    assert_eq!(attempts[0]["attempt_id"], lease.attempt());
}

#[test]
fn a_failed_result_is_final_even_with_retries_left() {
    let bed = Bed::start();
    let run = shape::int(&bed.team.run(APP, json!({"max_retries": 3})), "run_id");
    let runner = bed.runner("r1");
    runner.lease_and_start().result(json!({"status": "failed", "exit_code": 1})).expect(200);
    assert_eq!(bed.team.status(run), "failed");
    runner.idle();
}

#[test]
fn a_release_keeps_place_and_budget() {
    let bed = Bed::start();
    let first = bed.run();
    let second = bed.run();
    let before = bed.team.read(first);
    let (one, two) = (bed.runner("r1"), bed.runner("r2"));
    for start in [false, true] {
        let lease = one.lease();
        assert_eq!(lease.run, first, "the released run is the first in the queue again");
        if start {
            lease.start().expect(200);
        }
        lease.release().expect(200);
        let after = bed.team.read(first);
        assert_eq!(after["status"], "queued");
        assert_eq!((&after["queued_at"], &after["retry_count"]), (&before["queued_at"], &json!(0)));
    }
    assert_eq!(two.lease().run, first);
    assert_eq!(one.lease().run, second);
    assert_eq!(bed.attempt_statuses(first), ["released", "released", "leased"]);
}

#[test]
fn a_released_lease_is_void() {
    let bed = Bed::start();
    let run = bed.run();
    let lease = bed.runner("r1").lease_and_start();
    lease.release().expect(200);
    for call in Lease::CALLS.into_iter().filter(|call| *call != "release") {
        lease.call(call).expect_error(410, "gone");
    }
    assert_eq!(bed.team.status(run), "queued");
}
