//! Keeping a lease, losing it, and finding one again.

use std::time::{Duration, Instant};

use minitower_client::wire::runner::ResultStatus;
use minitower_test_plane::Answer;
use nix::sys::signal::Signal;

use crate::support::{ControlPlane, Job, Runner, ends, until};

/// A job that tells its process id and then stays.
fn staying() -> Job {
    Job::script("main.sh", "trap '' TERM HUP; echo pid=$$; while true; do sleep 1; done")
}

#[tokio::test]
async fn heartbeats_begin_at_once_and_come_every_third_of_the_lease() {
    let server = ControlPlane::with_leases_of(Duration::from_millis(1500));
    let data = tempfile::tempdir().unwrap();
    server.submit(staying());
    let _runner = Runner::start(&server, data.path());
    server.wait_for("heartbeats", |seen| seen.heartbeats().len() >= 6).await;
    let beats = server.seen().heartbeats();
    let average = (beats[5] - beats[0]) / 5;
    assert!(average >= Duration::from_millis(450) && average < Duration::from_millis(900), "{average:?}");
    assert!(server.seen().result_count() == 0, "the job lives longer than its first lease");
}

#[tokio::test]
async fn without_heartbeats_the_job_dies_before_its_lease_and_the_run_is_given_back() {
    let server = ControlPlane::with_leases_of(Duration::from_secs(2));
    let data = tempfile::tempdir().unwrap();
    server.submit(staying());
    let runner = Runner::start(&server, data.path());
    let pid = runner.process(server.number("pid").await);
    server.fence();
    server.refuse("heartbeat");
    let last = *server.seen().heartbeats().last().unwrap();
    ends(pid, Duration::from_secs(10)).await;
    assert!(last.elapsed() < Duration::from_secs(2), "dead before the lease is");
    server.wait_for("release", |seen| seen.releases() == 1).await;
    assert!(server.seen().result_count() == 0);
}

#[tokio::test]
async fn an_attempt_that_is_gone_is_killed_and_nothing_more_is_reported() {
    let server = ControlPlane::with_leases_of(Duration::from_secs(2));
    let data = tempfile::tempdir().unwrap();
    server.submit(staying());
    let runner = Runner::start(&server, data.path());
    let pid = runner.process(server.number("pid").await);
    let polls = server.seen().polls().len();
    server.gone();
    ends(pid, Duration::from_secs(2)).await;
    server.wait_for("the next poll", |seen| seen.polls().len() > polls).await;
    assert_eq!((server.seen().result_count(), server.seen().releases()), (0, 0));
}

#[tokio::test]
async fn lines_written_while_the_server_is_away_arrive_in_order_and_whole() {
    let server = ControlPlane::start();
    let no_logs = server.refuse("logs");
    let data = tempfile::tempdir().unwrap();
    let text =
        "for n in range(30000): print(n, 'x' * 200)\nopen('written', 'w')\nimport time; time.sleep(0.5)";
    server.submit(Job::script("main.py", text));
    let runner = Runner::start(&server, data.path());
    let written = runner.data().join("work/1/source/written");
    until(Duration::from_secs(20), "the job has written all", || written.exists()).await;
    assert!(server.seen().lines().is_empty());
    server.plane.lift(no_logs);
    assert_eq!(server.result().await.status, ResultStatus::Completed);
    let lines = server.seen().lines();
    let numbers = lines.iter().map(|line| line.line.split(' ').next().unwrap().parse::<usize>().unwrap());
    assert!(numbers.eq(0..30_000), "{} lines", lines.len());
}

#[tokio::test]
async fn an_outage_shorter_than_the_lease_costs_nothing() {
    let server = ControlPlane::with_leases_of(Duration::from_secs(4));
    let data = tempfile::tempdir().unwrap();
    server.submit(Job::script("main.sh", "echo pid=$$; sleep 2.5; echo end"));
    let _runner = Runner::start(&server, data.path());
    server.number("pid").await;
    let down = server.down();
    tokio::time::sleep(Duration::from_millis(1500)).await;
    server.plane.lift(down);
    assert_eq!(server.result().await.status, ResultStatus::Completed);
    assert!(server.seen().log().ends_with("end\n"));
}

#[tokio::test]
async fn a_job_that_ended_by_itself_is_reported_even_past_its_lease() {
    let server = ControlPlane::with_leases_of(Duration::from_secs(2));
    let data = tempfile::tempdir().unwrap();
    server.submit(Job::script("main.sh", "echo pid=$$; sleep 0.3"));
    let runner = Runner::start(&server, data.path());
    let pid = runner.process(server.number("pid").await);
    let down = server.down();
    ends(pid, Duration::from_secs(5)).await;
    until(Duration::from_secs(10), "the lease is over", || {
        runner.log().contains("has not heard of the run's end yet")
    })
    .await;
    server.plane.lift(down);
    assert_eq!(server.result().await.status, ResultStatus::Completed);
    assert_eq!(server.seen().releases(), 0);
}

#[tokio::test]
async fn a_lost_lease_answer_is_asked_for_again_under_the_same_request_id() {
    let server = ControlPlane::start();
    server.plane.times(2, "POST /runs/lease", Answer::break_off());
    let data = tempfile::tempdir().unwrap();
    server.submit(Job::script("main.sh", "echo once"));
    let _runner = Runner::start(&server, data.path());
    server.result().await;
    server.wait_for("a further poll", |seen| seen.polls().len() >= 4).await;
    let seen = server.seen();
    let ids: Vec<_> = seen.polls().iter().map(|poll| poll.request_id.clone().unwrap()).collect();
    assert_eq!(ids[0], ids[1]);
    assert_eq!(ids[1], ids[2]);
    assert_ne!(ids[2], ids[3], "a new poll has a new id");
    assert_eq!((seen.starts(), seen.log().as_str()), (1, "once\n"));
    assert!(seen.polls().iter().all(|poll| poll.instance_id == seen.polls()[0].instance_id));
}

#[tokio::test]
async fn a_run_that_is_cancelled_while_nobody_heard_of_its_lease_does_not_hold_its_runner() {
    let server = ControlPlane::start();
    server.plane.times(2, "POST /runs/lease", Answer::break_off());
    let data = tempfile::tempdir().unwrap();
    server.submit(staying());
    let _runner = Runner::start(&server, data.path());
    server.wait_for("the first lease", |seen| seen.polls().len() >= 2).await;
    server.cancel();
    server.submit(Job::script("main.sh", "echo next"));
    let began = Instant::now();
    assert_eq!(server.result().await.status, ResultStatus::Completed);
    assert!(began.elapsed() < Duration::from_secs(15), "the lease is longer: {:?}", began.elapsed());
    assert_eq!(server.seen().log(), "next\n");
}

#[tokio::test]
async fn a_lease_from_a_poll_held_longer_than_the_lease_is_confirmed_first_and_run() {
    let server = ControlPlane::with_leases_of(Duration::from_secs(1));
    let data = tempfile::tempdir().unwrap();
    let _runner = Runner::start(&server, data.path());
    server.wait_for("a poll", |seen| !seen.polls().is_empty()).await;
    tokio::time::sleep(Duration::from_millis(1200)).await;
    server.submit(Job::script("main.sh", "echo once"));
    assert_eq!(server.result().await.status, ResultStatus::Completed);
    assert_eq!(server.seen().releases(), 0);
}

#[tokio::test]
async fn a_stopped_runner_leaves_no_job_past_its_lease() {
    let server = ControlPlane::with_leases_of(Duration::from_secs(3));
    let data = tempfile::tempdir().unwrap();
    server.submit(staying());
    let runner = Runner::start(&server, data.path());
    let pid = runner.process(server.number("pid").await);
    server.fence();
    let frozen = Instant::now();
    runner.signal(Signal::SIGSTOP);
    ends(pid, Duration::from_secs(10)).await;
    assert!(frozen.elapsed() < Duration::from_secs(3), "dead before the lease is");
    runner.signal(Signal::SIGCONT);
    server.wait_for("release", |seen| seen.releases() == 1).await;
}

#[tokio::test]
async fn a_killed_runner_takes_its_job_along_and_its_successor_supersedes_it() {
    let server = ControlPlane::start();
    let data = tempfile::tempdir().unwrap();
    server.submit(staying());
    let mut runner = Runner::start(&server, data.path());
    let pid = runner.process(server.number("pid").await);
    runner.signal(Signal::SIGKILL);
    ends(pid, Duration::from_secs(2)).await;
    runner.ends(Duration::from_secs(1)).await;
    let work = runner.data().join("work/1");
    assert!(work.exists());
    server.submit(Job::script("main.sh", "echo again"));
    let _successor =
        Runner::with(&server, data.path(), &[("MINITOWER_REGISTRATION_TOKEN", "no longer needed")]);
    server.wait_for("the successor's run", |seen| seen.result_count() == 1).await;
    server.wait_for("a further poll", |seen| seen.polls().len() >= 3).await;
    let seen = server.seen();
    assert_eq!(seen.polls()[0].supersedes, None);
    assert_eq!(seen.polls()[1].supersedes, seen.polls()[0].instance_id);
    assert_ne!(seen.polls()[1].instance_id, seen.polls()[0].instance_id);
    assert_eq!(seen.polls()[2].supersedes, None, "said once");
    assert_eq!(seen.registrations().len(), 1, "the kept token stays in use");
    assert!(!work.exists(), "what the former run left is removed");
}

#[tokio::test]
async fn a_second_runner_of_the_same_name_is_refused() {
    let server = ControlPlane::start();
    let data = tempfile::tempdir().unwrap();
    let _first = Runner::start(&server, data.path());
    server.wait_for("a poll", |seen| !seen.polls().is_empty()).await;
    let mut second = Runner::start(&server, data.path());
    assert!(!second.ends(Duration::from_secs(5)).await.success());
    assert!(second.log().contains("another runner of this name is running here"), "{}", second.log());
}

#[tokio::test]
async fn a_refused_token_is_dropped_and_the_run_goes_on_with_a_new_one() {
    let server = ControlPlane::with_leases_of(Duration::from_secs(2));
    let data = tempfile::tempdir().unwrap();
    server.submit(Job::script("main.sh", "echo pid=$$; sleep 1; echo end"));
    let runner = Runner::start(&server, data.path());
    server.number("pid").await;
    server.register_another();
    assert_eq!(server.result().await.status, ResultStatus::Completed);
    assert_eq!(server.seen().registrations().len(), 2);
    server.wait_for("a poll with the new token", |seen| seen.tokens().len() > 1).await;
    let tokens = server.seen().tokens();
    let kept = std::fs::read_to_string(runner.data().join("token")).unwrap();
    assert!(tokens[0] != kept && *tokens.last().unwrap() == kept, "{tokens:?}");
}

#[tokio::test]
async fn a_runner_that_cannot_register_any_more_stops_its_run_and_says_why() {
    let server = ControlPlane::with_leases_of(Duration::from_secs(2));
    let given = server.register_another();
    let data = tempfile::tempdir().unwrap();
    server.submit(staying());
    let variables = [("MINITOWER_REGISTRATION_TOKEN", ""), ("MINITOWER_RUNNER_TOKEN", given.as_str())];
    let mut runner = Runner::with(&server, data.path(), &variables);
    let pid = runner.process(server.number("pid").await);
    server.register_another();
    ends(pid, Duration::from_secs(5)).await;
    assert!(!runner.ends(Duration::from_secs(10)).await.success());
    let log = runner.log();
    assert!(log.contains("this runner is not registered: set MINITOWER_RUNNER_REGISTRATION_TOKEN"), "{log}");
}

#[tokio::test]
async fn an_older_server_is_no_obstacle() {
    let server = ControlPlane::old(Duration::from_secs(5));
    let data = tempfile::tempdir().unwrap();
    let mut runner = Runner::start(&server, data.path());
    server.wait_for("several polls", |seen| seen.polls().len() >= 3).await;
    server.submit(Job::script("main.sh", "sleep 2; echo end"));
    assert_eq!(server.result().await.status, ResultStatus::Completed);
    assert!(server.seen().heartbeats().len() >= 2);
    runner.signal(Signal::SIGTERM);
    assert!(runner.ends(Duration::from_secs(5)).await.success());
    assert_eq!(server.seen().sign_offs(), 1);
}
