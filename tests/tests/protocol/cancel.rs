//! Cancelling runs in every state, and races with results.

use std::thread;

use minitower_tests::shape;
use serde_json::json;

use super::{APP, Bed};

#[test]
fn a_queued_run_is_cancelled_at_once_and_never_leased() {
    let bed = Bed::start();
    let run = bed.run();
    let cancelled = bed.team.cancel(run);
    assert_eq!(cancelled["status"], "cancelled");
    assert_eq!(cancelled["cancel_requested"], true);
    shape::fields(&cancelled, &["finished_at"], &["started_at"]);
    bed.runner("r1").idle();
    assert_eq!(bed.team.cancel(run), cancelled, "cancelling again changes nothing");
    assert!(bed.team.attempts(run).is_empty());
}

#[test]
fn a_leased_run_is_cancelling_until_its_runner_confirms() {
    let bed = Bed::start();
    let run = bed.run();
    let lease = bed.runner("r1").lease();
    assert_eq!(bed.team.cancel(run)["status"], "cancelling");
    assert_eq!(bed.team.cancel(run)["status"], "cancelling");
    assert_eq!(bed.attempt_statuses(run), ["cancelling"]);

    let started = lease.start().expect_json(200);
    assert_eq!(started["cancel_requested"], true);
    assert_eq!((&started["status"], &started["run_status"]), (&json!("cancelling"), &json!("cancelling")));
    lease.result(json!({"status": "cancelled"})).expect(200);
    let ended = bed.team.read(run);
    assert_eq!(ended["status"], "cancelled");
    shape::fields(&ended, &["finished_at"], &["started_at"]);
}

#[test]
fn a_running_run_learns_of_its_cancel_by_its_next_heartbeat() {
    let bed = Bed::start();
    let run = bed.run();
    let lease = bed.runner("r1").lease_and_start();
    assert_eq!(lease.heartbeat().expect_json(200)["cancel_requested"], false);
    bed.team.cancel(run);
    let beat = lease.heartbeat().expect_json(200);
    assert_eq!(beat["cancel_requested"], true);
    assert_eq!(beat["run_status"], "cancelling");
    lease.logs(&[(1, "cleaning up")]).expect(200);
    lease.result(json!({"status": "cancelled", "exit_code": 143})).expect(200);
    let ended = bed.team.read(run);
    assert_eq!((&ended["status"], &ended["exit_code"]), (&json!("cancelled"), &json!(143)));
    assert_eq!(bed.attempt_statuses(run), ["cancelled"]);
    assert_eq!(bed.team.logs(run).len(), 1, "what a job says while it ends is kept");
}

#[test]
fn once_cancelling_the_outcome_can_only_be_cancelled() {
    let bed = Bed::start();
    let run = bed.run();
    let lease = bed.runner("r1").lease_and_start();
    bed.team.cancel(run);
    lease.complete().expect_error(409, "conflict");
    lease.result(json!({"status": "failed", "exit_code": 1})).expect_error(409, "conflict");
    assert_eq!(bed.team.status(run), "cancelling");
    lease.result(json!({"status": "cancelled"})).expect(200);
    lease.result(json!({"status": "cancelled"})).expect(200);
    lease.complete().expect_error(409, "conflict");
    assert_eq!(bed.team.status(run), "cancelled");
}

#[test]
fn a_release_while_cancelling_ends_the_run_cancelled() {
    let bed = Bed::start();
    let run = bed.run();
    let runner = bed.runner("r1");
    let lease = runner.lease_and_start();
    bed.team.cancel(run);
    lease.release().expect(200);
    assert_eq!(bed.team.status(run), "cancelled");
    runner.idle();
}

#[test]
fn a_cancel_behind_a_result_changes_nothing() {
    let bed = Bed::start();
    let run = bed.run();
    bed.runner("r1").lease_and_start().complete().expect(200);
    let before = bed.team.read(run);
    assert_eq!(bed.team.cancel(run), before);
    assert_eq!(before["status"], "completed");
    assert_eq!(before["cancel_requested"], false);
}

#[test]
fn a_cancel_racing_a_result_leaves_one_outcome_that_both_were_told() {
    let bed = Bed::start();
    let runner = bed.runner("r1");
    for _ in 0..25 {
        let run = shape::int(&bed.team.run(APP, json!({"max_retries": 3})), "run_id");
        let lease = runner.lease_and_start();
        let (result, cancel) = thread::scope(|scope| {
            let result = scope.spawn(|| lease.complete());
            let cancel = scope.spawn(|| bed.team.cancel(run));
            (result.join().unwrap(), cancel.join().unwrap())
        });
        match result.status {
            200 => {
                assert_eq!(cancel["status"], "completed", "the result was first");
                assert_eq!(bed.team.status(run), "completed");
            }
            409 => {
                assert_eq!(cancel["status"], "cancelling", "the cancel was first");
                lease.result(json!({"status": "cancelled"})).expect(200);
                assert_eq!(bed.team.status(run), "cancelled");
            }
            other => panic!("result answered {other}: {}", result.text()),
        }
    }
}
