//! Waiting for the end of a run.

use std::thread;
use std::time::{Duration, Instant};

use minitower_tests::{Runner, Server};

#[test]
fn a_caller_that_waits_is_answered_when_the_run_ends() {
    let server = Server::start();
    let team = server.bootstrap();
    team.python_app("hello", "print()");
    let run = team.run_id("hello");
    let lease = Runner::register(&server, "r1").lease_and_start();
    let ask = team.get(&format!("/runs/{run}?wait=25"));
    let began = Instant::now();
    let waiting = thread::spawn(move || ask.send().expect_json(200));
    thread::sleep(Duration::from_millis(300));
    assert!(!waiting.is_finished(), "it answered before the run had ended");
    lease.complete().expect(200);
    assert_eq!(waiting.join().unwrap()["status"], "completed");
    assert!(began.elapsed() < Duration::from_secs(20), "{:?}", began.elapsed());
    for bad in ["61", "-1", "long"] {
        let message =
            team.get(&format!("/runs/{run}?wait={bad}")).send().expect_error(400, "invalid_request");
        assert!(message.contains("wait"), "{message}");
    }
}

#[test]
fn a_stopping_server_answers_whoever_waits() {
    let mut server = Server::start();
    let team = server.bootstrap();
    team.python_app("hello", "print()");
    let run = team.run_id("hello");
    let ask = team.get(&format!("/runs/{run}?wait=25"));
    let began = Instant::now();
    let waiting = thread::spawn(move || ask.send().expect_json(200));
    thread::sleep(Duration::from_millis(300));
    server.terminate();
    assert_eq!(waiting.join().unwrap()["status"], "queued");
    assert!(began.elapsed() < Duration::from_secs(20), "{:?}", began.elapsed());
}
