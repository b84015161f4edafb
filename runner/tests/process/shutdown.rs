//! Stopping the runner.

use std::time::{Duration, Instant};

use minitower_client::wire::runner::ResultStatus;
use nix::sys::signal::Signal;

use minitower_test_plane::Answer;

use crate::support::{ControlPlane, Job, Runner, ends, until};

#[tokio::test]
async fn an_idle_runner_signs_off_and_ends() {
    let server = ControlPlane::start();
    let data = tempfile::tempdir().unwrap();
    let mut runner = Runner::start(&server, data.path());
    server.wait_for("a poll", |seen| !seen.polls().is_empty()).await;
    runner.signal(Signal::SIGTERM);
    assert!(runner.ends(Duration::from_secs(5)).await.success());
    assert_eq!(server.seen().sign_offs(), 1);
}

/// Measured at a few milliseconds; the bound leaves room for a busy machine.
#[tokio::test]
async fn an_idle_runner_ends_before_anyone_waits() {
    let server = ControlPlane::start();
    let data = tempfile::tempdir().unwrap();
    let mut runner = Runner::start(&server, data.path());
    server.wait_for("a poll", |seen| !seen.polls().is_empty()).await;
    let asked = Instant::now();
    runner.signal(Signal::SIGTERM);
    runner.ends(Duration::from_secs(5)).await;
    assert!(asked.elapsed() < Duration::from_millis(200), "{:?}", asked.elapsed());
}

#[tokio::test]
async fn a_runner_ends_in_time_when_nobody_answers_its_sign_off() {
    let server = ControlPlane::start();
    let data = tempfile::tempdir().unwrap();
    let mut runner = Runner::start(&server, data.path());
    server.wait_for("a poll", |seen| !seen.polls().is_empty()).await;
    server.plane.always("POST /runners/sign-off", Answer::hang());
    let asked = Instant::now();
    runner.signal(Signal::SIGTERM);
    assert!(runner.ends(Duration::from_secs(5)).await.success());
    assert!(asked.elapsed() < Duration::from_secs(3), "{:?}", asked.elapsed());
    assert!(runner.log().contains("not signed off"), "{}", runner.log());
}

#[tokio::test]
async fn a_runner_that_nobody_lets_register_ends_in_time() {
    let server = ControlPlane::start();
    let data = tempfile::tempdir().unwrap();
    let refused = [("MINITOWER_SERVER_URL", "http://127.0.0.1:1")];
    let mut runner = Runner::with(&server, data.path(), &refused);
    let limit = Duration::from_secs(5);
    until(limit, "a refused connection", || runner.log().contains("cannot register yet")).await;
    let asked = Instant::now();
    runner.signal(Signal::SIGTERM);
    assert!(runner.ends(limit).await.success());
    assert!(asked.elapsed() < Duration::from_millis(200), "{:?}", asked.elapsed());

    let deaf = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", deaf.local_addr().unwrap());
    let mut runner = Runner::with(&server, data.path(), &[("MINITOWER_SERVER_URL", &url)]);
    let _connection = tokio::time::timeout(limit, deaf.accept()).await.unwrap().unwrap();
    let asked = Instant::now();
    runner.signal(Signal::SIGTERM);
    assert!(runner.ends(limit).await.success());
    assert!(asked.elapsed() < Duration::from_millis(200), "{:?}", asked.elapsed());
}

#[tokio::test]
async fn a_run_may_finish_within_the_shutdown_grace() {
    let server = ControlPlane::start();
    let data = tempfile::tempdir().unwrap();
    server.submit(Job::script("main.sh", "echo pid=$$; sleep 1; echo end"));
    server.submit(Job::script("main.sh", "echo must not run"));
    let mut runner = Runner::start(&server, data.path());
    server.number("pid").await;
    runner.signal(Signal::SIGTERM);
    server.wait_for("sign-off while the run goes on", |seen| seen.sign_offs() == 1).await;
    assert_eq!(server.result().await.status, ResultStatus::Completed);
    assert!(runner.ends(Duration::from_secs(5)).await.success());
    assert_eq!(server.seen().starts(), 1, "no further run is taken");
}

#[tokio::test]
async fn a_run_over_the_shutdown_grace_is_stopped_gently_and_given_back() {
    let server = ControlPlane::start();
    let data = tempfile::tempdir().unwrap();
    server.submit(Job::script(
        "main.sh",
        "trap 'echo cleaning up; exit 0' TERM; echo pid=$$; while true; do sleep 600 & wait $!; done",
    ));
    let mut runner = Runner::with(&server, data.path(), &[("MINITOWER_SHUTDOWN_GRACE", "300ms")]);
    let pid = runner.process(server.number("pid").await);
    runner.signal(Signal::SIGTERM);
    server.wait_for("release", |seen| seen.releases() == 1).await;
    assert!(runner.ends(Duration::from_secs(5)).await.success());
    ends(pid, Duration::from_secs(1)).await;
    let seen = server.seen();
    assert!(seen.result_count() == 0);
    assert!(seen.log().contains("cleaning up"), "{}", seen.log());
}

#[tokio::test]
async fn a_second_sigterm_stops_at_once() {
    let server = ControlPlane::start();
    let data = tempfile::tempdir().unwrap();
    server.submit(Job::script("main.sh", "trap '' TERM; echo pid=$$; while true; do sleep 1; done"));
    let mut runner = Runner::with(&server, data.path(), &[("MINITOWER_KILL_GRACE_PERIOD", "1h")]);
    let pid = runner.process(server.number("pid").await);
    runner.signal(Signal::SIGTERM);
    server.wait_for("sign-off", |seen| seen.sign_offs() == 1).await;
    let asked = Instant::now();
    runner.signal(Signal::SIGTERM);
    runner.ends(Duration::from_secs(10)).await;
    assert!(asked.elapsed() < Duration::from_secs(5));
    ends(pid, Duration::from_secs(1)).await;
    assert_eq!(server.seen().releases(), 1);
}

#[tokio::test]
async fn a_stopping_runner_gives_the_result_up_when_nobody_answers_for_five_leases() {
    let lease = Duration::from_secs(2);
    let server = ControlPlane::with_leases_of(lease);
    let data = tempfile::tempdir().unwrap();
    server.submit(Job::script("main.sh", "echo pid=$$; sleep 0.5; echo end"));
    let mut runner = Runner::with(&server, data.path(), &[("MINITOWER_SHUTDOWN_GRACE", "1h")]);
    server.number("pid").await;
    server.down();
    let asked = Instant::now();
    runner.signal(Signal::SIGTERM);
    // The last lines go with the result, so that is all that is given up.
    assert!(runner.ends(8 * lease).await.success());
    assert!(asked.elapsed() >= 5 * lease, "{:?}", asked.elapsed());
    assert!(runner.log().contains("could not be told how the run ended"), "{}", runner.log());
}

#[tokio::test]
async fn a_stopping_runner_waits_for_a_control_plane_that_comes_back() {
    // Long enough for a first run, which asks the interpreter about itself.
    let lease = Duration::from_secs(2);
    let server = ControlPlane::with_leases_of(lease);
    let data = tempfile::tempdir().unwrap();
    server.submit(Job::script("main.sh", "echo pid=$$; sleep 0.3; echo end"));
    let mut runner = Runner::with(&server, data.path(), &[("MINITOWER_SHUTDOWN_GRACE", "1h")]);
    server.number("pid").await;
    runner.signal(Signal::SIGTERM);
    let down = server.down();
    tokio::time::sleep(3 * lease).await;
    server.plane.lift(down);
    assert_eq!(server.result().await.status, ResultStatus::Completed);
    assert!(runner.ends(Duration::from_secs(5)).await.success());
    assert!(server.seen().log().contains("end"), "{}", server.seen().log());
}
