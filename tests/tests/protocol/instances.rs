//! Processes behind a runner's name: successors, and those known to have ended.

use minitower_tests::{Response, shape};
use serde_json::{Value, json};

use super::{APP, Bed};

impl Bed {
    fn ended(&self, name: &str, body: Value) -> Response {
        self.team.post(&format!("/admin/runners/{name}/ended")).json(body).send()
    }
}

#[test]
fn a_superseding_instance_ends_only_the_attempt_it_names() {
    let bed = Bed::start();
    let run = shape::int(&bed.team.run(APP, json!({"max_retries": 1})), "run_id");
    let runner = bed.runner("r1");
    let first = runner.leased(&runner.poll_with(0, json!({"instance_id": "i1"})));
    first.start().expect(200);

    let wrong = json!({"instance_id": "i2", "supersedes": "i0"});
    runner.poll_with(0, wrong).expect_error(409, "conflict");
    assert_eq!(bed.team.status(run), "running");
    first.heartbeat().expect(200);

    let right = json!({"instance_id": "i2", "supersedes": "i1"});
    let second = runner.leased(&runner.poll_with(0, right));
    assert_eq!((second.run, &second.body["attempt_no"]), (run, &json!(2)));
    first.heartbeat().expect_error(410, "gone");
    assert_eq!(bed.attempt_statuses(run), ["expired", "leased"]);
    assert_eq!(bed.team.read(run)["retry_count"], 1);
}

#[test]
fn another_instance_without_supersedes_changes_nothing() {
    let bed = Bed::start();
    let run = bed.run();
    let runner = bed.runner("r1");
    let lease = runner.leased(&runner.poll_with(0, json!({"instance_id": "i1"})));
    runner.poll_with(0, json!({"instance_id": "i2"})).expect_error(409, "conflict");
    lease.start().expect(200);
    assert_eq!(bed.team.status(run), "running");
}

#[test]
fn an_attempt_leased_without_an_instance_cannot_be_superseded() {
    let bed = Bed::start();
    let run = bed.run();
    let runner = bed.runner("r1");
    let lease = runner.lease_and_start();
    runner.poll_with(0, json!({"instance_id": "i2", "supersedes": "i1"})).expect_error(409, "conflict");
    lease.heartbeat().expect(200);
    assert_eq!(bed.team.status(run), "running");
}

#[test]
fn superseding_with_nothing_active_is_an_ordinary_poll() {
    let bed = Bed::start();
    let runner = bed.runner("r1");
    let body = json!({"instance_id": "i2", "supersedes": "i1"});
    runner.poll_with(0, body.clone()).expect(204);
    let run = bed.run();
    assert_eq!(runner.leased(&runner.poll_with(0, body)).run, run);
}

#[test]
fn superseding_at_the_limit_leaves_the_run_dead() {
    let bed = Bed::start();
    let run = bed.run();
    let runner = bed.runner("r1");
    runner.poll_with(0, json!({"instance_id": "i1"})).expect(200);
    runner.poll_with(0, json!({"instance_id": "i2", "supersedes": "i1"})).expect(204);
    assert_eq!(bed.team.status(run), "dead");
}

#[test]
fn ended_of_another_instance_changes_nothing() {
    let bed = Bed::start();
    let run = bed.run();
    let runner = bed.team_runner("r1");
    bed.ended("r1", json!({"instance_id": "i1"})).expect_error(409, "conflict");
    let lease = runner.leased(&runner.poll_with(0, json!({"instance_id": "i1"})));
    lease.start().expect(200);
    bed.ended("r1", json!({"instance_id": "i2"})).expect_error(409, "conflict");
    bed.ended("r1", json!({})).expect_error(400, "invalid_request");
    bed.ended("r1", json!({"reason": "OOMKilled"})).expect_error(400, "invalid_request");
    lease.heartbeat().expect(200);
    assert_eq!(bed.team.status(run), "running");
}

#[test]
fn ended_expires_the_attempt_with_its_reason_at_once() {
    let bed = Bed::start();
    let run = shape::int(&bed.team.run(APP, json!({"max_retries": 1})), "run_id");
    let runner = bed.team_runner("r1");
    let lease = runner.leased(&runner.poll_with(0, json!({"instance_id": "i1"})));
    lease.start().expect(200);
    let answer = bed.ended("r1", json!({"instance_id": "i1", "reason": "the pod was evicted"}));
    assert_eq!(answer.status, 200, "{}", answer.text());
    lease.heartbeat().expect_error(410, "gone");
    let after = bed.team.read(run);
    assert_eq!((&after["status"], &after["retry_count"]), (&json!("queued"), &json!(1)));
    let attempts = bed.team.attempts(run);
    assert_eq!(
        (&attempts[0]["status"], &attempts[0]["error_message"]),
        (&json!("expired"), &json!("the pod was evicted"))
    );
    bed.ended("r1", json!({"instance_id": "i1"})).expect_error(409, "conflict");
}

#[test]
fn ended_while_cancelling_ends_the_run_cancelled() {
    let bed = Bed::start();
    let run = shape::int(&bed.team.run(APP, json!({"max_retries": 1})), "run_id");
    let runner = bed.team_runner("r1");
    runner.poll_with(0, json!({"instance_id": "i1"})).expect(200);
    bed.team.cancel(run);
    bed.ended("r1", json!({"instance_id": "i1"})).expect(200);
    assert_eq!(bed.team.status(run), "cancelled");
}

#[test]
fn an_attempt_leased_without_an_instance_is_not_ended() {
    let bed = Bed::start();
    bed.run();
    let lease = bed.team_runner("r1").lease_and_start();
    bed.ended("r1", json!({"instance_id": "i1"})).expect_error(409, "conflict");
    lease.complete().expect(200);
}
