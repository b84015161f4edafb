//! What a lease is, whom it is given to, and which calls it opens.

use std::collections::BTreeSet;
use std::thread;

use minitower_tests::{Lease, Runner, shape};
use serde_json::json;

use super::{APP, Bed};

#[test]
fn a_lease_has_its_full_length_and_only_a_heartbeat_extends_it() {
    let bed = Bed::start();
    bed.run();
    let lease = bed.runner("r1").lease();
    assert_eq!(shape::int(&lease.body, "lease_ttl_ms"), 60_000);
    let granted = shape::time(&lease.body, "lease_expires_at");

    let started = lease.start().expect_json(200);
    assert_eq!(shape::time(&started, "lease_expires_at"), granted, "start does not extend the lease");

    let beat = lease.heartbeat().expect_json(200);
    assert!(shape::time(&beat, "lease_expires_at") > granted, "a heartbeat extends the lease");
    assert_eq!(shape::int(&beat, "lease_ttl_ms"), 60_000);
}

#[test]
fn concurrent_leases_never_double_assign() {
    const RUNNERS: usize = 8;
    const RUNS: usize = 60;
    let bed = Bed::start();
    let expected: BTreeSet<i64> = (0..RUNS).map(|_| bed.run()).collect();
    let runners: Vec<Runner> = (0..RUNNERS).map(|number| bed.runner(&format!("r{number}"))).collect();

    let drain = |runner: &Runner| {
        let mut taken = Vec::new();
        loop {
            let answer = runner.poll();
            if answer.status == 204 {
                return taken;
            }
            let lease = runner.leased(&answer);
            lease.start().expect(200);
            lease.complete().expect(200);
            taken.push(lease.run);
        }
    };
    let taken: Vec<i64> = thread::scope(|scope| {
        let workers: Vec<_> = runners.iter().map(|runner| scope.spawn(|| drain(runner))).collect();
        workers.into_iter().flat_map(|worker| worker.join().unwrap()).collect()
    });

    assert_eq!(taken.len(), RUNS, "each run is leased exactly once");
    assert_eq!(taken.into_iter().collect::<BTreeSet<_>>(), expected);
    for run in expected {
        assert_eq!(bed.attempt_statuses(run), ["completed"]);
    }
}

#[test]
fn a_busy_runner_cannot_lease() {
    let bed = Bed::start();
    bed.run();
    let second = bed.run();
    let runner = bed.runner("r1");
    let lease = runner.lease();
    runner.poll().expect_error(409, "conflict");
    lease.start().expect(200);
    runner.poll().expect_error(409, "conflict");
    assert_eq!(bed.team.status(second), "queued");
    lease.complete().expect(200);
    assert_eq!(runner.lease().run, second, "a runner that is done may lease again");
}

#[test]
fn stale_foreign_and_unknown_lease_tokens_are_refused_on_all_calls() {
    let bed = Bed::start();
    let (first, second) = (bed.run(), bed.run());
    let (one, two) = (bed.runner("r1"), bed.runner("r2"));
    let (mine, other) = (one.lease_and_start(), two.lease_and_start());
    let stale = {
        let third = bed.run();
        let runner = bed.runner("r3");
        let void = runner.lease();
        void.release().expect(200);
        let again = runner.lease();
        assert_eq!(again.run, third);
        void
    };
    let foreign_token = Lease { token: other.token.clone(), ..mine.clone() };
    let foreign_runner = Lease { runner_token: two.token.clone(), ..mine.clone() };
    let foreign_run = Lease { run: other.run, ..mine.clone() };
    let unknown_token = Lease { token: "never-given".to_owned(), ..mine.clone() };
    let unknown_run = Lease { run: 987_654_321, ..mine.clone() };

    for call in Lease::CALLS {
        for lease in [&stale, &foreign_token, &foreign_runner, &foreign_run, &unknown_token, &unknown_run] {
            lease.call(call).expect_error(410, "gone");
        }
    }
    assert_eq!((mine.run, other.run), (first, second));
    for lease in [&mine, &other] {
        assert_eq!(bed.team.status(lease.run), "running");
        assert!(bed.team.logs(lease.run).is_empty(), "a refused log call leaves no line");
        lease.complete().expect(200);
    }
}

#[test]
fn a_lease_token_is_required_on_all_calls() {
    let bed = Bed::start();
    bed.run();
    let runner = bed.runner("r1");
    let lease = runner.lease();
    for call in Lease::CALLS {
        let path = format!("/api/v1/runs/{}/{call}", lease.run);
        let request = bed.server.http().request(Lease::method(call), &path).bearer(&runner.token);
        request.send().expect_error(400, "invalid_request");
    }
    assert_eq!(bed.attempt_statuses(lease.run), ["leased"]);
}

#[test]
fn an_attempt_call_before_the_start_is_a_conflict_only_where_it_must_be() {
    let bed = Bed::start();
    bed.run();
    let lease = bed.runner("r1").lease();
    // A runner may fail before it starts the job: results and logs are taken from a leased attempt too.
    lease.heartbeat().expect(200);
    lease.logs(&[(1, "setup failed")]).expect(200);
    lease.result(json!({"status": "failed", "error_message": "no space", "reason": "setup"})).expect(200);
    let run = bed.team.read(lease.run);
    assert_eq!(run["status"], "failed");
    assert_eq!(run["error_message"], "no space");
}

#[test]
fn cross_team_access_is_blocked_for_runners_of_a_team() {
    let bed = Bed::start();
    let other = bed.server.sign_up("other-team");
    other.python_app("their-job", "print()");
    let theirs = other.run_id("their-job");
    let runner = bed.team_runner("ours");
    runner.idle();
    assert_eq!(other.status(theirs), "queued");

    let ours = bed.run();
    assert_eq!(runner.lease().run, ours);
    // A runner of the platform serves an environment across teams.
    assert_eq!(bed.runner("platform").lease().run, theirs);
}

#[test]
fn a_runner_serves_its_environment_only() {
    let bed = Bed::start();
    let staging = shape::int(&bed.team.run(APP, json!({"environment": "staging"})), "run_id");
    let body = json!({"name": "stager", "environment": "staging"});
    let stager = Runner::register_with(&bed.server, &bed.team.registration_token, body);
    let usual = bed.team_runner("usual");
    usual.idle();
    assert_eq!(stager.lease().run, staging);
    bed.run();
    stager.poll().expect_error(409, "conflict");
    usual.lease();
}

#[test]
fn a_runner_registered_again_has_a_new_token_and_the_old_one_is_dead() {
    let bed = Bed::start();
    let run = bed.run();
    let before = bed.runner("r1");
    let after = bed.runner("r1");
    assert_eq!(before.id, after.id);
    before.poll().expect_error(401, "unauthorized");
    assert_eq!(after.lease().run, run);
}
