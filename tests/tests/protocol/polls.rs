//! Long polls: who is woken, what becomes of lost answers and of waiters that vanish.

use std::io::Read as _;
use std::thread;
use std::time::{Duration, Instant};

use minitower_tests::{Runner, process::Signal, shape, wait};
use serde_json::{Value, json};

use super::Bed;

/// Waits until the server has seen a runner's poll of this instance.
fn wait_polling(bed: &Bed, runner: &Runner, instance: &str) {
    wait::until("the poll has reached the server", wait::SOON, || {
        let seen = bed.team.runner(&runner.name)?;
        (seen["instance_id"] == instance).then_some(())
    });
}

#[test]
fn a_poll_waits_for_work_and_is_answered_when_it_comes() {
    let bed = Bed::start();
    let runner = bed.team_runner("r1");
    let (run, lease) = thread::scope(|scope| {
        let poll = scope.spawn(|| runner.poll_with(30, json!({"instance_id": "i1"})));
        wait_polling(&bed, &runner, "i1");
        assert!(!poll.is_finished());
        let created = Instant::now();
        let run = bed.run();
        let answer = poll.join().unwrap();
        assert!(created.elapsed() < Duration::from_secs(5), "the poll is woken, not left to its end");
        (run, runner.leased(&answer))
    });
    assert_eq!(lease.run, run);
}

#[test]
fn a_poll_without_work_is_answered_204_when_its_wait_is_over() {
    let bed = Bed::start();
    let runner = bed.runner("r1");
    let asked = Instant::now();
    runner.poll_with(1, json!({})).expect(204);
    let waited = asked.elapsed();
    assert!(waited >= Duration::from_millis(900) && waited < Duration::from_secs(10), "waited {waited:?}");
}

#[test]
fn a_long_poll_wakes_exactly_one_runner_per_run() {
    let bed = Bed::start();
    let runners: Vec<Runner> = (0..6).map(|number| bed.team_runner(&format!("r{number}"))).collect();
    let (first, second) = thread::scope(|scope| {
        let polls: Vec<_> = runners
            .iter()
            .map(|runner| scope.spawn(|| runner.poll_with(40, json!({"instance_id": "i1"}))))
            .collect();
        for runner in &runners {
            wait_polling(&bed, runner, "i1");
        }
        let answered = || polls.iter().filter(|poll| poll.is_finished()).count();
        let first: Vec<i64> = (0..2).map(|_| bed.run()).collect();
        wait::until("two polls are answered", wait::SOON, || (answered() == 2).then_some(()));
        wait::stays("four polls go on waiting", Duration::from_millis(500), || answered() == 2);
        let second: Vec<i64> = (0..4).map(|_| bed.run()).collect();
        let mut leased: Vec<i64> = polls
            .into_iter()
            .map(|poll| shape::int(&poll.join().unwrap().expect_json(200), "run_id"))
            .collect();
        leased.sort_unstable();
        (leased, [first, second].concat())
    });
    assert_eq!(first, second, "each run went to one runner");
}

#[test]
fn a_lost_lease_answer_is_found_again_by_its_request_id() {
    let bed = Bed::start();
    let run = bed.run();
    let runner = bed.runner("r1");
    let body = json!({"request_id": "poll-1", "instance_id": "i1"});
    let lost = runner.leased(&runner.poll_with(0, body.clone()));
    let found = runner.leased(&runner.poll_with(0, body.clone()));
    assert_eq!((found.run, found.attempt()), (run, lost.attempt()));
    assert_ne!(found.token, lost.token, "the lease token is a fresh one");
    lost.start().expect_error(410, "gone");
    assert_eq!(bed.attempt_statuses(run), ["leased"]);

    found.start().expect(200);
    runner.poll_with(0, body.clone()).expect_error(409, "conflict");
    found.complete().expect(200);
    let next = bed.run();
    let new = runner.leased(&runner.poll_with(0, body));
    assert_eq!(new.run, next, "used again after the attempt ended it is a new poll");
}

#[test]
fn a_poll_may_start_what_it_leases_and_its_lost_answer_is_found_again_until_the_first_call() {
    let bed = Bed::start();
    let run = bed.run();
    let runner = bed.runner("r1");
    let body = json!({"request_id": "poll-1", "instance_id": "i1", "start": true});
    let lost = runner.leased(&runner.poll_with(0, body.clone()));
    assert_eq!(lost.body["status"], "running");
    assert_eq!(bed.attempt_statuses(run), ["running"]);
    assert!(bed.team.read(run)["started_at"].is_string());
    let found = runner.leased(&runner.poll_with(0, body.clone()));
    assert_eq!((found.run, found.attempt(), &found.body["status"]), (run, lost.attempt(), &json!("running")));
    lost.heartbeat().expect_error(410, "gone");

    found.heartbeat().expect(200);
    runner.poll_with(0, body).expect_error(409, "conflict");
    found.start().expect(200);
    found.complete().expect(200);
    assert_eq!(bed.team.status(run), "completed");

    bed.run();
    let plain = runner.lease();
    assert_eq!(plain.body.get("status"), None, "a poll that did not ask for it leaves the start to a call");
    assert_eq!(bed.attempt_statuses(plain.run), ["leased"]);
}

#[test]
fn a_sign_off_gives_back_what_the_poll_that_it_gives_up_has_started() {
    let bed = Bed::start();
    let run = bed.run();
    let runner = bed.runner("r1");
    let poll = |name: &str| json!({"request_id": name, "instance_id": "i1", "start": true});
    runner.poll_with(0, poll("poll-1")).expect(200);
    let sign_off = |body| runner.post("/runners/sign-off").json(body).send();
    runner.sign_off().expect(200);
    sign_off(json!({"request_id": "another"})).expect(200);
    assert_eq!(bed.team.status(run), "running", "the runner may have heard of it");
    sign_off(json!({"request_id": ""})).expect_error(400, "invalid_request");
    sign_off(json!({"request_id": "poll-1"})).expect(200);
    let after = bed.team.read(run);
    assert_eq!((&after["status"], &after["retry_count"]), (&json!("queued"), &json!(0)));
    assert_eq!(after.get("started_at"), None, "nobody has begun it");

    let heard = runner.leased(&runner.poll_with(0, poll("poll-2")));
    heard.heartbeat().expect(200);
    sign_off(json!({"request_id": "poll-2"})).expect(200);
    assert_eq!(bed.team.status(run), "running");
    heard.complete().expect(200);
}

#[test]
fn another_request_id_does_not_find_the_answer() {
    let bed = Bed::start();
    bed.run();
    let runner = bed.runner("r1");
    runner.poll_with(0, json!({"request_id": "poll-1", "instance_id": "i1"})).expect(200);
    runner.poll_with(0, json!({"request_id": "poll-2", "instance_id": "i1"})).expect_error(409, "conflict");
    runner.poll_with(0, json!({"instance_id": "i1"})).expect_error(409, "conflict");
    runner.poll().expect_error(409, "conflict");
}

#[test]
fn a_vanished_waiters_lease_is_released() {
    let bed = Bed::start();
    let (gone, here) = (bed.team_runner("gone"), bed.team_runner("here"));
    for round in 0..5 {
        let instance = format!("i{round}");
        let stream = gone.open_poll(30, &json!({"instance_id": instance}));
        wait_polling(&bed, &gone, &instance);
        drop(stream);
        let run = bed.run();
        let lease = here.leased(&here.poll_with(10, json!({})));
        assert_eq!(lease.run, run, "the run is not stuck with the runner that is gone");
        lease.start().expect(200);
        lease.complete().expect(200);
        let ended = bed.team.read(run);
        assert_eq!((&ended["status"], &ended["retry_count"]), (&json!("completed"), &json!(0)));
    }
    assert_eq!(bed.team.runner("gone").unwrap()["busy"], false);
}

#[test]
fn a_runner_that_signed_off_is_leased_nothing_until_it_polls_again() {
    let bed = Bed::start();
    let runner = bed.team_runner("r1");
    thread::scope(|scope| {
        let poll = scope.spawn(|| runner.poll_with(30, json!({"instance_id": "i1"})));
        wait_polling(&bed, &runner, "i1");
        runner.sign_off().expect(200);
        let run = bed.run();
        let answer = poll.join().unwrap();
        assert_ne!(answer.status, 200, "the open poll is not given the run");
        assert_eq!(bed.team.status(run), "queued");
        assert_eq!(runner.lease().run, run);
    });
}

#[test]
fn signing_off_gives_back_an_attempt_that_has_not_started() {
    let bed = Bed::start();
    let run = bed.run();
    let runner = bed.runner("r1");
    let lease = runner.lease();
    runner.sign_off().expect(200);
    let after = bed.team.read(run);
    assert_eq!((&after["status"], &after["retry_count"]), (&json!("queued"), &json!(0)));
    lease.start().expect_error(410, "gone");

    let started = runner.lease_and_start();
    runner.sign_off().expect(200);
    assert_eq!(bed.team.status(run), "running", "a started attempt goes on");
    started.complete().expect(200);
}

#[test]
fn signing_off_ends_a_cancelled_run_that_has_not_started() {
    let bed = Bed::start();
    let run = bed.run();
    let runner = bed.runner("r1");
    runner.lease();
    bed.team.cancel(run);
    runner.sign_off().expect(200);
    assert_eq!(bed.team.status(run), "cancelled");
}

#[test]
fn a_stopping_server_answers_waiting_polls_204_and_exits_cleanly() {
    let mut bed = Bed::start();
    let runner = bed.team_runner("r1");
    let mut stream = runner.open_poll(60, &json!({"instance_id": "i1"}));
    wait_polling(&bed, &runner, "i1");
    bed.server.program().signal(Signal::SIGTERM);
    let mut answer = String::new();
    stream.set_read_timeout(Some(wait::SOON)).unwrap();
    stream.read_to_string(&mut answer).unwrap();
    assert!(answer.starts_with("HTTP/1.1 204"), "{answer}");
    assert_eq!(bed.server.program().wait_end(wait::SOON).code(), Some(0));
}

#[test]
fn an_open_poll_keeps_a_runner_online() {
    let bed = Bed::with_lease_ttl("1s");
    let runner = bed.team_runner("r1");
    let _stream = runner.open_poll(30, &json!({"instance_id": "i1"}));
    wait_polling(&bed, &runner, "i1");
    let online = || bed.team.runner("r1").is_some_and(|seen: Value| seen["status"] == "online");
    wait::stays("the runner is online", Duration::from_secs(4), online);
}
