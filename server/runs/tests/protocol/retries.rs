//! Retries with backoff: who is woken when, what survives a restart, and what is counted meanwhile.

use std::time::Duration;

use minitower_kernel::clock::Clock;
use minitower_runs::CreateRun;
use minitower_runs::Grant;
use minitower_runs::domain::claim::Poll;
use minitower_runs::domain::retry::Wanted;
use minitower_runs::domain::run::Run;
use minitower_runs::domain::runner::RunnerPrincipal;
use minitower_vocabulary::ids::RunId;
use minitowerd::ControlPlane as App;

use prometheus::proto::MetricFamily;

use crate::support::{Plane, outcome};
use minitower_vocabulary::statuses::{ResultStatus, RunStatus};

/// How long a poll waits for what should come at once.
const SOON: Duration = Duration::from_secs(10);

/// A run of three attempts with that backoff.
fn retried(backoff_ms: i64) -> CreateRun {
    let wanted = Wanted { max_attempts: 3, backoff_initial_ms: Some(backoff_ms), ..Wanted::default() };
    CreateRun { retry: Some(wanted), ..CreateRun::default() }
}

impl Plane {
    /// Queues a run, and lets its first attempt fail.
    async fn failed_once(&self, by: &RunnerPrincipal, backoff_ms: i64) -> Run {
        let run = self.run(retried(backoff_ms)).await;
        let grant = self.lease(by).await;
        self.fail(by, run.id, &grant.lease_token).await;
        self.status(&run).await
    }

    async fn fail(&self, by: &RunnerPrincipal, run: RunId, lease: &str) {
        self.app.leases().finish_run(by, run, lease, outcome(ResultStatus::Failed).into()).await.unwrap();
    }

    /// The gauges of ready and of blocked runs.
    fn waiting(&self) -> [i64; 2] {
        ["minitower_runs_pending", "minitower_runs_blocked"].map(|name| {
            let families = self.app.subjects().metrics();
            let family = families.iter().find(|family| family.name() == name);
            let metrics = family.into_iter().flat_map(MetricFamily::get_metric);
            let sum: f64 = metrics.map(|metric| metric.get_gauge().get_value()).sum();
            #[expect(clippy::cast_possible_truncation, reason = "a few runs")]
            let sum = sum as i64;
            sum
        })
    }
}

fn run_background(app: &App) {
    let app = app.clone();
    tokio::spawn(async move { app.run_background().await });
}

async fn wait_for_work(app: App, by: RunnerPrincipal) -> Option<Box<Grant>> {
    app.leases().lease(&by, Poll::default(), SOON).await.unwrap().and_then(minitower_runs::Offer::deliver)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_failed_run_is_leased_after_its_backoff_and_by_exactly_one_of_those_who_wait() {
    let plane = Plane::start().await;
    let (r1, r2) = (plane.runner("r1").await, plane.runner("r2").await);
    let run = plane.failed_once(&r1, 50).await;
    let due = run.progress.state.not_before().expect("it waits");
    assert_eq!(
        (run.status(), run.progress.queued_at, run.progress.retries.used),
        (RunStatus::Queued, due, 1)
    );
    let waits = due.since(plane.clock.now());
    assert!((50..=60).contains(&waits.as_millis()), "{waits:?}");
    assert!(plane.poll(&r1, Poll::default()).await.unwrap().is_none(), "nothing is ready yet");

    run_background(&plane.app);
    let mut polls = tokio::task::JoinSet::new();
    for by in [&r1, &r2] {
        polls.spawn(wait_for_work(plane.app.clone(), by.clone()));
    }
    plane.clock.advance(waits);
    let first = polls.join_next().await.unwrap().unwrap().expect("the run");
    assert_eq!((first.run.id, first.attempt.number), (run.id, 2));
    assert!(first.attempt.leased_at >= due);
    plane.stopping.cancel();
    assert!(polls.join_next().await.unwrap().unwrap().is_none(), "one run, one poll");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_last_attempt_ends_the_run_and_each_backoff_is_longer_than_the_one_before() {
    let plane = Plane::start().await;
    let runner = plane.runner("r1").await;
    let run = plane.failed_once(&runner, 40).await;
    run_background(&plane.app);
    let mut before = Duration::ZERO;
    for number in [2, 3] {
        let waiting = plane.status(&run).await.progress.state;
        let backoff = waiting.not_before().unwrap().since(plane.clock.now());
        assert!(backoff > before && waiting.end().is_none());
        before = backoff;
        plane.clock.advance(backoff);
        let grant = wait_for_work(plane.app.clone(), runner.clone()).await.expect("the run");
        assert_eq!(grant.attempt.number, number);
        plane.fail(&runner, run.id, &grant.lease_token).await;
    }
    let ended = plane.status(&run).await.progress;
    let exit_code = ended.state.end().unwrap().exit_code;
    assert_eq!((ended.status(), ended.retries.used, exit_code), (RunStatus::Failed, 2, Some(0)));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_backoff_from_before_the_servers_restart_ends_in_its_time() {
    let mut plane = Plane::start().await;
    let runner = plane.runner("r1").await;
    let run = plane.failed_once(&runner, 50).await;
    plane = plane.restart().await;
    assert_eq!(plane.status(&run).await.progress, run.progress, "a restart changes nothing about it");
    assert!(plane.poll(&runner, Poll::default()).await.unwrap().is_none(), "nothing is ready yet");
    run_background(&plane.app);
    plane.clock.advance(Duration::from_millis(60));
    let grant = wait_for_work(plane.app.clone(), runner).await.expect("the run");
    assert_eq!(grant.run.id, run.id);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_clock_that_was_wrong_does_not_hold_a_run_for_longer_than_its_policy_allows() {
    let mut plane = Plane::start().await;
    let runner = plane.runner("r1").await;
    let early = plane.clock.now();
    plane.clock.advance(Duration::from_secs(30 * 24 * 3600));
    let run = plane.failed_once(&runner, 50).await;
    // The next process reads a wall clock that was put right.
    plane.clock = Clock::manual(early);
    plane = plane.restart().await;
    let after = plane.status(&run).await.progress;
    let longest = run.progress.policy.unwrap().longest_backoff();
    assert_eq!(after.state.not_before(), Some(early.plus(longest)));
    assert_eq!(after.queued_at, early.plus(longest));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_run_that_waits_for_its_retry_is_queued_but_not_pending() {
    let mut plane = Plane::start().await;
    let runner = plane.runner("r1").await;
    let run = plane.failed_once(&runner, 60_000).await;
    for restart in [false, true] {
        if restart {
            plane = plane.restart().await;
        }
        assert_eq!(plane.waiting(), [0, 1], "ready and blocked");
        assert_eq!(plane.app.runs().runs_summary(&plane.team).await.unwrap().queued, 1);
    }
    let cancelled = plane.app.runs().cancel_run(&plane.team, run.id).await.unwrap();
    assert_eq!((cancelled.status(), cancelled.progress.state.not_before()), (RunStatus::Cancelled, None));
    assert_eq!(plane.waiting(), [0, 0]);
    assert_eq!(plane.app.runs().runs_summary(&plane.team).await.unwrap().terminal, 1);
    // What was cancelled never comes back.
    plane.clock.advance(Duration::from_secs(100));
    run_background(&plane.app);
    let other = plane.run(CreateRun::default()).await;
    let grant = wait_for_work(plane.app.clone(), runner).await.expect("the other run");
    assert_eq!(grant.run.id, other.id);
}

#[tokio::test(flavor = "multi_thread")]
async fn many_runs_that_become_ready_at_once_are_all_taken() {
    let plane = Plane::start().await;
    let runner = plane.runner("r1").await;
    let mut failed = Vec::new();
    // More than are woken in one transaction.
    for _ in 0..120 {
        failed.push(plane.failed_once(&runner, 1000).await.id);
    }
    plane.clock.advance(Duration::from_millis(1200));
    run_background(&plane.app);
    let mut taken = Vec::new();
    while taken.len() < failed.len() {
        let grant = wait_for_work(plane.app.clone(), runner.clone()).await.expect("a run");
        plane
            .app
            .leases()
            .finish_run(&runner, grant.run.id, &grant.lease_token, outcome(ResultStatus::Completed).into())
            .await
            .unwrap();
        taken.push(grant.run.id);
    }
    taken.sort();
    assert_eq!(taken, failed);
}
