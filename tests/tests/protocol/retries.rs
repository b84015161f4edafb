//! Runs that are retried as their policy asks: when, how often, and after what.

use minitower_tests::{Lease, Runner, shape, wait};
use serde_json::{Value, json};
use std::time::Duration;

use super::{APP, Bed};

/// Longer than any test takes.
const HOUR_MS: i64 = 3_600_000;

/// Queues a run with that policy.
fn retried(bed: &Bed, retry: &Value) -> i64 {
    shape::int(&bed.team.run(APP, json!({"retry": retry})), "run_id")
}

fn fail(lease: &Lease, reason: &str) {
    let body = json!({"status": "failed", "exit_code": 1, "error_message": "exit code 1", "reason": reason});
    lease.result(body).expect_json(200);
}

/// Waits for the run, begins it, and lets it fail.
fn next_fails(runner: &Runner, run: i64, attempt: i64) {
    let lease = runner.leased(&runner.poll_with(10, json!({})));
    assert_eq!((lease.run, &lease.body["attempt_no"]), (run, &json!(attempt)));
    lease.start().expect(200);
    fail(&lease, "exit");
}

#[test]
fn a_failed_run_has_as_many_attempts_as_its_policy_allows_each_after_its_backoff() {
    let bed = Bed::start();
    let policy =
        json!({"max_attempts": 3, "on": ["failed"], "backoff_initial_ms": 200, "backoff_multiplier": 1.5});
    let run = retried(&bed, &policy);
    assert_eq!(bed.team.read(run)["max_retries"], 2);
    let runner = bed.runner("r1");

    for attempt in [1, 2] {
        next_fails(&runner, run, attempt);
        let waiting = bed.team.read(run);
        assert_eq!((&waiting["status"], &waiting["retry_count"]), (&json!("queued"), &json!(attempt)));
        shape::fields(&waiting, &["started_at"], &["finished_at", "exit_code", "error_message"]);
    }
    next_fails(&runner, run, 3);
    let ended = bed.team.read(run);
    assert_eq!(
        (&ended["status"], &ended["exit_code"], &ended["retry_count"]),
        (&json!("failed"), &json!(1), &json!(2))
    );

    // By the server's own stamps no attempt came before its time.
    let attempts = bed.team.attempts(run);
    assert_eq!(bed.attempt_statuses(run), ["failed", "failed", "failed"]);
    for (pair, backoff) in attempts.windows(2).zip([200, 300]) {
        let waited = shape::time(&pair[1], "leased_at").duration_since(shape::time(&pair[0], "finished_at"));
        assert!(waited.as_millis() >= backoff, "{waited:?} is less than {backoff} ms");
    }
}

#[test]
fn a_run_in_its_backoff_is_queued_for_later_by_a_fifth_more_at_most_and_not_leased_before() {
    let bed = Bed::start();
    let run =
        retried(&bed, &json!({"max_attempts": 2, "backoff_initial_ms": HOUR_MS, "backoff_max_ms": HOUR_MS}));
    let runner = bed.runner("r1");
    fail(&runner.lease_and_start(), "setup");
    let waiting = bed.team.read(run);
    let ended = shape::time(&bed.team.attempts(run)[0], "finished_at");
    let waits = i64::try_from(shape::time(&waiting, "queued_at").duration_since(ended).as_millis()).unwrap();
    assert!((HOUR_MS..=HOUR_MS * 6 / 5).contains(&waits), "{waits} ms");
    // It is in nobody's way.
    runner.idle();
    let other = bed.run();
    assert_eq!(runner.lease().run, other);
}

#[test]
fn what_a_policy_does_not_name_ends_the_run_at_once() {
    let bed = Bed::with_lease_ttl("1s");
    let policy = |on: &str| json!({"max_attempts": 5, "on": [on], "backoff_initial_ms": 1});
    let runner = bed.runner("r1");
    for (named, reason) in
        [("timeout", "exit"), ("lost", "signal"), ("failed", "timeout"), ("timeout", "setup")]
    {
        let run = retried(&bed, &policy(named));
        fail(&runner.lease_and_start(), reason);
        let ended = bed.team.read(run);
        assert_eq!(
            (&ended["status"], &ended["retry_count"]),
            (&json!("failed"), &json!(0)),
            "{reason} on {named}"
        );
    }
    let timed_out = retried(&bed, &policy("timeout"));
    fail(&runner.lease_and_start(), "timeout");
    let again = runner.leased(&runner.poll_with(10, json!({})));
    assert_eq!((again.run, &again.body["attempt_no"]), (timed_out, &json!(2)));
    again.complete().expect(200);

    let lost = retried(&bed, &policy("failed"));
    runner.lease_and_start();
    let dead = bed.team.wait_status(lost, "dead");
    assert_eq!((&dead["retry_count"], &dead["max_retries"]), (&json!(0), &json!(4)));
}

#[test]
fn losses_and_failures_count_against_the_same_attempts() {
    let bed = Bed::with_lease_ttl("1s");
    let run = retried(&bed, &json!({"max_attempts": 3, "backoff_initial_ms": 1}));
    let (lost, runner) = (bed.runner("r1"), bed.runner("r2"));
    lost.lease_and_start();
    bed.team.wait_status(run, "queued");
    next_fails(&runner, run, 2);
    next_fails(&runner, run, 3);
    assert_eq!(bed.team.status(run), "failed");
    assert_eq!(bed.attempt_statuses(run), ["expired", "failed", "failed"]);
}

#[test]
fn a_release_costs_no_attempt_and_is_not_held_back() {
    let bed = Bed::start();
    let run = retried(&bed, &json!({"max_attempts": 1}));
    let runner = bed.runner("r1");
    runner.lease_and_start().release().expect(200);
    let lease = runner.lease_and_start();
    assert_eq!(lease.run, run);
    fail(&lease, "exit");
    assert_eq!(bed.team.status(run), "failed");
    assert_eq!(bed.attempt_statuses(run), ["released", "failed"]);
}

#[test]
fn a_repeated_result_of_an_attempt_that_was_retried_is_accepted_and_changes_nothing() {
    let bed = Bed::start();
    let run =
        retried(&bed, &json!({"max_attempts": 3, "backoff_initial_ms": HOUR_MS, "backoff_max_ms": HOUR_MS}));
    let lease = bed.runner("r1").lease_and_start();
    fail(&lease, "exit");
    let waiting = bed.team.read(run);
    fail(&lease, "exit");
    assert_eq!(bed.team.read(run), waiting);
    lease.complete().expect_error(409, "conflict");
    lease.heartbeat().expect_error(410, "gone");
    assert_eq!(bed.attempt_statuses(run), ["failed"]);
}

#[test]
fn a_cancel_during_the_backoff_ends_the_run_at_once() {
    let bed = Bed::start();
    let run = retried(&bed, &json!({"max_attempts": 3, "backoff_initial_ms": 300}));
    let runner = bed.runner("r1");
    fail(&runner.lease_and_start(), "exit");
    let cancelled = bed.team.cancel(run);
    assert_eq!((&cancelled["status"], &cancelled["cancel_requested"]), (&json!("cancelled"), &json!(true)));
    shape::fields(&cancelled, &["finished_at"], &[]);
    wait::stays("the run stays cancelled", Duration::from_millis(600), || {
        bed.team.status(run) == "cancelled"
    });
    runner.idle();
}

#[test]
fn a_cancel_of_a_running_run_wins_over_its_retries() {
    let bed = Bed::start();
    let run = retried(&bed, &json!({"max_attempts": 3}));
    let lease = bed.runner("r1").lease_and_start();
    bed.team.cancel(run);
    let failed = json!({"status": "failed", "exit_code": 1, "reason": "exit"});
    lease.result(failed).expect_error(409, "conflict");
    lease.result(json!({"status": "cancelled"})).expect(200);
    assert_eq!((bed.team.status(run).as_str(), bed.attempt_statuses(run).len()), ("cancelled", 1));
}

#[test]
fn a_backoff_outlasts_a_kill_of_the_server_and_ends_in_its_time() {
    let mut bed = Bed::start();
    let run = retried(&bed, &json!({"max_attempts": 2, "backoff_initial_ms": 1500}));
    let runner = bed.runner("r1");
    fail(&runner.lease_and_start(), "exit");
    let waiting = bed.team.read(run);
    bed.server.kill();
    bed.server.start_again();
    assert_eq!(bed.team.read(run), waiting);
    let lease = runner.leased(&runner.poll_with(30, json!({})));
    assert_eq!((lease.run, &lease.body["attempt_no"]), (run, &json!(2)));
    let leased = shape::time(&bed.team.attempts(run)[1], "leased_at");
    assert!(leased >= shape::time(&waiting, "queued_at"), "not before its time");
}
