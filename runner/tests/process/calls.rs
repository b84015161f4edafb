//! How many calls a run takes: the poll starts it, and its result carries the last lines. Older servers know neither.

use std::time::Duration;

use minitower_client::wire::runner::{ResultStatus, RunResult};
use minitower_test_plane::{Answer, Gate};
use nix::sys::signal::Signal;
use rstest::rstest;

use crate::support::{ControlPlane, Job, Runner, Starts};

/// A job that ends soon after its first line.
fn quick() -> Job {
    Job::script("main.sh", "echo one; echo two")
}

/// The texts of the lines that a result carries.
fn carried(result: &RunResult) -> Vec<&str> {
    result.logs.iter().map(|line| line.line.as_str()).collect()
}

#[tokio::test]
async fn a_quick_run_is_started_by_its_poll_and_told_with_its_result() {
    let server = ControlPlane::start().starts(Starts::InThePoll);
    let data = tempfile::tempdir().unwrap();
    server.submit(quick());
    let _runner = Runner::start(&server, data.path());
    let result = server.result().await;
    let seen = server.seen();
    assert!(seen.polls().iter().all(|poll| poll.start == Some(true)));
    assert_eq!((seen.starts(), seen.start_calls()), (1, 0));
    assert_eq!((result.status, carried(&result)), (ResultStatus::Completed, vec!["one", "two"]));
    assert_eq!(seen.batches(), 0, "no line goes by itself");
    assert_eq!(seen.log(), "one\ntwo\n");
}

#[tokio::test]
async fn a_server_that_does_not_start_in_the_poll_gets_a_start_and_all_lines_by_themselves() {
    let server = ControlPlane::start().starts(Starts::ByACall);
    let data = tempfile::tempdir().unwrap();
    server.submit(quick());
    let _runner = Runner::start(&server, data.path());
    let result = server.result().await;
    let seen = server.seen();
    assert_eq!((seen.starts(), seen.start_calls()), (1, 1));
    assert!(carried(&result).is_empty(), "they would be lost there");
    assert!(seen.batches() > 0);
    assert_eq!(seen.log(), "one\ntwo\n");
}

/// Whatever the server is, a run is started once, and its log is whole.
#[rstest]
#[case(Starts::AsTheServer)]
#[case(Starts::InThePoll)]
#[case(Starts::ByACall)]
#[tokio::test]
async fn only_the_last_batch_of_a_long_log_goes_with_the_result(#[case] starts: Starts) {
    let server = ControlPlane::start().starts(starts);
    let data = tempfile::tempdir().unwrap();
    server.submit(Job::script("main.sh", "seq 1234"));
    let _runner = Runner::start(&server, data.path());
    let result = server.result().await;
    let seen = server.seen();
    assert_eq!(seen.starts(), 1);
    assert!(seen.batches() >= 12, "{} batches", seen.batches());
    let with_result =
        starts == Starts::InThePoll || (starts == Starts::AsTheServer && seen.start_calls() == 0);
    assert_eq!(result.logs.is_empty(), !with_result);
    let expected: Vec<String> = (1..=1234).map(|number| number.to_string()).collect();
    assert_eq!(seen.log().lines().collect::<Vec<_>>(), expected);
}

#[tokio::test]
async fn lines_of_a_job_that_goes_on_do_not_wait_for_its_end() {
    let server = ControlPlane::start().starts(Starts::InThePoll);
    let data = tempfile::tempdir().unwrap();
    server.submit(Job::script("main.sh", "echo pid=$$; while [ ! -e on ]; do sleep 0.05; done; echo last"));
    let runner = Runner::start(&server, data.path());
    server.number("pid").await;
    std::fs::write(runner.data().join("work/1/source/on"), "").unwrap();
    let result = server.result().await;
    assert_eq!(carried(&result), ["last"]);
}

#[tokio::test]
async fn lines_that_were_not_accepted_yet_come_before_those_of_the_result() {
    let server = ControlPlane::start().starts(Starts::InThePoll);
    let data = tempfile::tempdir().unwrap();
    let no_logs = server.refuse("logs");
    server.submit(Job::script("main.sh", "seq 250; sleep 0.5; echo last"));
    let _runner = Runner::start(&server, data.path());
    server.plane.answered("POST /runs/*/logs", 3).await;
    server.plane.lift(no_logs);
    let result = server.result().await;
    assert_eq!(carried(&result).last(), Some(&"last"));
    assert_eq!(server.seen().lines().len(), 251);
}

#[tokio::test]
async fn a_result_whose_answer_is_lost_is_told_again_with_its_lines() {
    let server = ControlPlane::start().starts(Starts::InThePoll);
    let data = tempfile::tempdir().unwrap();
    server.submit(quick());
    server.plane.once("POST /runs/*/result", Answer::cut().after_effect());
    let _runner = Runner::start(&server, data.path());
    // The first one has its effect, too.
    let results = server.plane.seen("POST /runs/*/result", 2).await;
    let told: Vec<RunResult> = results.iter().map(minitower_test_plane::Request::decode).collect();
    assert_eq!(told.len(), 2);
    assert_eq!(told[0], told[1]);
    assert_eq!(carried(&told[1]), ["one", "two"]);
}

#[tokio::test]
async fn the_last_lines_follow_a_result_that_a_cancel_overtook() {
    let server = ControlPlane::start().starts(Starts::InThePoll);
    let data = tempfile::tempdir().unwrap();
    let late = Gate::closed();
    server.plane.once("POST /runs/*/result", Answer::real().held_by(&late));
    server.submit(quick());
    let _runner = Runner::start(&server, data.path());
    server.plane.seen("POST /runs/*/result", 1).await;
    server.cancel();
    late.open();
    let results = server.results(2).await;
    let statuses = [&results[0], &results[1]].map(|result| (result.status, carried(result)));
    let lines = vec!["one", "two"];
    assert_eq!(statuses, [(ResultStatus::Completed, lines.clone()), (ResultStatus::Cancelled, lines)]);
}

#[rstest]
#[case(400)]
#[case(413)]
#[tokio::test]
async fn a_result_that_is_refused_is_told_without_lines_once_these_have_gone_by_themselves(
    #[case] status: u16,
) {
    let server = ControlPlane::start().starts(Starts::InThePoll);
    let data = tempfile::tempdir().unwrap();
    server.plane.once("POST /runs/*/result", Answer::status(status));
    server.submit(quick());
    let _runner = Runner::start(&server, data.path());
    let results = server.results(2).await;
    assert_eq!(carried(&results[0]), ["one", "two"]);
    assert_eq!((results[1].status, carried(&results[1])), (ResultStatus::Completed, vec![]));
    assert_eq!((server.seen().batches(), server.seen().log().as_str()), (1, "one\ntwo\n"));
}

#[tokio::test]
async fn a_run_that_is_given_back_has_all_its_lines() {
    let server = ControlPlane::start();
    let data = tempfile::tempdir().unwrap();
    server.submit(Job::script(
        "main.sh",
        "trap 'echo cleaning up; exit 0' TERM; echo pid=$$; while true; do sleep 600 & wait $!; done",
    ));
    let mut runner = Runner::with(&server, data.path(), &[("MINITOWER_SHUTDOWN_GRACE", "300ms")]);
    server.number("pid").await;
    runner.signal(Signal::SIGTERM);
    server.wait_for("release", |seen| seen.releases() == 1).await;
    assert!(runner.ends(Duration::from_secs(5)).await.success());
    assert!(server.seen().log().contains("cleaning up\n"), "{}", server.seen().log());
    assert_eq!(server.seen().result_count(), 0);
}

#[tokio::test]
async fn a_lease_that_arrives_while_the_runner_stops_is_given_back() {
    let server = ControlPlane::start().starts(Starts::InThePoll);
    let data = tempfile::tempdir().unwrap();
    let (poll, sign_off) = (Gate::closed(), Gate::closed());
    server.submit(quick());
    let told = server.lease_answer();
    server.plane.once("POST /runs/lease", told.held_by(&poll));
    server.plane.once("POST /runners/sign-off", Answer::real().held_by(&sign_off));
    let mut runner = Runner::start(&server, data.path());
    server.plane.seen("POST /runs/lease", 1).await;
    runner.signal(Signal::SIGTERM);
    server.plane.seen("POST /runners/sign-off", 1).await;
    // The lease is granted before the runner has signed off, and its answer comes after the wish to stop.
    poll.open();
    server.wait_for("release", |seen| seen.releases() == 1).await;
    sign_off.open();
    assert!(runner.ends(Duration::from_secs(5)).await.success());
    let seen = server.seen();
    assert_eq!((seen.heartbeats().len(), seen.downloads(), seen.result_count()), (0, 0, 0), "nothing ran");
}
