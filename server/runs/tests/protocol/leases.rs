//! Leases: who gets a run, and what becomes of it.

use std::collections::HashSet;
use std::time::Duration;

use minitower_kernel::page::Page;
use minitower_runs::CreateRun;
use minitower_runs::Error;
use minitower_runs::domain::claim::Poll;
use minitower_runs::domain::lease::Refusal;

use crate::support::{Plane, TTL, named, outcome, retries};
use minitower_vocabulary::statuses::{AttemptStatus, ResultStatus, RunStatus};

#[tokio::test(flavor = "multi_thread")]
async fn concurrent_leases_never_double_assign() {
    let plane = Plane::start().await;
    for _ in 0..60 {
        plane.run(CreateRun::default()).await;
    }
    let mut workers = tokio::task::JoinSet::new();
    for n in 0..16 {
        let (app, runner) = (plane.app.clone(), plane.runner(&format!("r{n}")).await);
        workers.spawn(async move {
            let mut mine = Vec::new();
            while let Some(offer) =
                app.leases().lease(&runner, Poll::default(), Duration::ZERO).await.unwrap()
            {
                let grant = offer.deliver().unwrap();
                mine.push(grant.run.id);
                app.leases()
                    .finish_run(
                        &runner,
                        grant.run.id,
                        &grant.lease_token,
                        outcome(ResultStatus::Completed).into(),
                    )
                    .await
                    .unwrap();
            }
            mine
        });
    }
    let all: Vec<_> = workers.join_all().await.into_iter().flatten().collect();
    assert_eq!(all.len(), 60);
    assert_eq!(all.iter().collect::<HashSet<_>>().len(), 60, "each run went to exactly one runner");
    let summary = plane.app.runs().runs_summary(&plane.team).await.unwrap();
    assert_eq!((summary.total, summary.terminal, summary.active, summary.queued), (60, 60, 0, 0));
}

#[tokio::test(flavor = "multi_thread")]
async fn the_queue_goes_by_priority_then_age_then_id() {
    let plane = Plane::start().await;
    let with = |priority| CreateRun { priority: Some(priority), ..CreateRun::default() };
    let low = plane.run(with(-5)).await;
    let first = plane.run(with(0)).await;
    let second = plane.run(with(0)).await;
    let high = plane.run(with(9)).await;
    for expected in [high, first, second, low] {
        let runner = plane.runner(&format!("r{}", expected.id)).await;
        assert_eq!(plane.lease(&runner).await.run.id, expected.id);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_long_poll_wakes_exactly_one_runner_per_run() {
    let plane = Plane::start().await;
    let mut polls = tokio::task::JoinSet::new();
    for n in 0..8 {
        let (app, runner) = (plane.app.clone(), plane.runner(&format!("r{n}")).await);
        polls.spawn(async move {
            let offer = app.leases().lease(&runner, Poll::default(), Duration::from_secs(30)).await.unwrap();
            offer.and_then(minitower_runs::Offer::deliver).map(|grant| grant.run.id)
        });
    }
    let mut served = HashSet::new();
    for _ in 0..3 {
        let run = plane.run(CreateRun::default()).await;
        let woken = tokio::time::timeout(Duration::from_secs(10), polls.join_next()).await.unwrap().unwrap();
        assert_eq!(woken.unwrap(), Some(run.id));
        served.insert(run.id);
    }
    plane.stopping.cancel();
    let rest = polls.join_all().await;
    assert_eq!(rest, vec![None; 5], "a stop answers the others with nothing");
    assert_eq!(served.len(), 3);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_vanished_waiters_lease_is_released_at_its_old_place() {
    let plane = Plane::start().await;
    let run = plane.run(retries(0)).await;
    let runner = plane.runner("gone").await;
    // The answer is never delivered: the caller went away first.
    drop(plane.app.leases().lease(&runner, Poll::default(), Duration::ZERO).await.unwrap().unwrap());
    let other = plane.runner("other").await;
    let offer =
        plane.app.leases().lease(&other, Poll::default(), Duration::from_secs(10)).await.unwrap().unwrap();
    let grant = offer.deliver().unwrap();
    assert_eq!((grant.run.id, grant.attempt.number), (run.id, 2));
    assert_eq!((grant.run.progress.queued_at, grant.run.progress.retries.used), (run.progress.queued_at, 0));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lost_answer_is_found_again_and_voids_the_former_token() {
    let plane = Plane::start().await;
    plane.run(CreateRun::default()).await;
    let runner = plane.runner("r").await;
    let poll = Poll { request_id: Some("p1".to_owned()), ..named("i") };
    let lost = plane.poll(&runner, poll.clone()).await.unwrap().unwrap();
    plane.clock.advance(Duration::from_secs(30));
    let found = plane.poll(&runner, poll.clone()).await.unwrap().unwrap();
    assert_eq!(found.attempt.id, lost.attempt.id);
    assert_eq!(found.attempt.lease.expires_at, plane.clock.now().plus(TTL));
    let stale = plane.app.leases().start_run(&runner, found.run.id, &lost.lease_token).await;
    assert!(matches!(stale, Err(Error::Refused(Refusal::Gone))), "{stale:?}");
    plane.app.leases().start_run(&runner, found.run.id, &found.lease_token).await.unwrap();
    let busy = plane.poll(&runner, poll).await;
    assert!(matches!(busy, Err(Error::PollerBusy)), "started: the same poll is refused like any other");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_start_that_nobody_heard_of_is_taken_back_with_the_lease() {
    let plane = Plane::start().await;
    let run = plane.run(retries(0)).await;
    let starts = Poll { start: true, ..named("i") };
    let runner = plane.runner("gone").await;
    drop(plane.app.leases().lease(&runner, starts.clone(), Duration::ZERO).await.unwrap().unwrap());
    let other = plane.runner("other").await;
    let wait = Duration::from_secs(10);
    plane.app.leases().lease(&other, named("o"), wait).await.unwrap().unwrap().deliver().unwrap();
    let leased = plane.status(&run).await;
    assert_eq!((leased.status(), leased.attempts), (RunStatus::Leased, 2));
    assert_eq!(leased.progress.state.first_started_at(), None, "nobody has begun it yet");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_poll_that_starts_its_attempt_is_repeated_until_the_first_call_and_given_back_by_a_sign_off() {
    let plane = Plane::start().await;
    let run = plane.run(CreateRun::default()).await;
    let runner = plane.runner("r").await;
    let poll = Poll { request_id: Some("p1".to_owned()), start: true, ..named("i") };
    let lost = plane.poll(&runner, poll.clone()).await.unwrap().unwrap();
    assert_eq!((lost.run.status(), lost.attempt.status()), (RunStatus::Running, AttemptStatus::Running));
    let found = plane.poll(&runner, poll.clone()).await.unwrap().unwrap();
    assert_eq!(found.attempt.id, lost.attempt.id);

    let leases = plane.app.leases();
    leases.sign_off(&runner, None).await.unwrap();
    assert_eq!(plane.status(&run).await.status(), RunStatus::Running, "it may be under way");
    leases.sign_off(&runner, Some("p1".to_owned())).await.unwrap();
    assert_eq!(plane.status(&run).await.status(), RunStatus::Queued);

    let again = plane.poll(&runner, poll.clone()).await.unwrap().unwrap();
    leases.heartbeat(&runner, run.id, &again.lease_token).await.unwrap();
    let busy = plane.poll(&runner, poll).await;
    assert!(matches!(busy, Err(Error::PollerBusy)), "the answer was heard");
    leases.sign_off(&runner, Some("p1".to_owned())).await.unwrap();
    assert_eq!(plane.status(&run).await.status(), RunStatus::Running);
    leases
        .finish_run(&runner, run.id, &again.lease_token, outcome(ResultStatus::Completed).into())
        .await
        .unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_superseding_process_ends_only_the_attempt_it_names() {
    let plane = Plane::start().await;
    let run = plane.run(retries(1)).await;
    let runner = plane.runner("r").await;
    let first = plane.poll(&runner, named("old")).await.unwrap().unwrap();
    for supersedes in [None, Some("somebody-else".to_owned())] {
        let refused = plane.poll(&runner, Poll { supersedes, ..named("new") }).await;
        assert!(matches!(refused, Err(Error::PollerBusy)));
    }
    assert_eq!(plane.status(&run).await.status(), RunStatus::Leased);
    let next = Poll { supersedes: Some("old".to_owned()), ..named("new") };
    let second = plane.poll(&runner, next).await.unwrap().unwrap();
    assert_eq!((second.run.id, second.attempt.number, second.run.progress.retries.used), (run.id, 2, 1));
    let late = plane
        .app
        .leases()
        .finish_run(&runner, run.id, &first.lease_token, outcome(ResultStatus::Completed).into())
        .await;
    assert!(matches!(late, Err(Error::Refused(Refusal::Gone))));
}

#[tokio::test(flavor = "multi_thread")]
async fn expiry_requeues_then_the_run_is_dead_at_the_limit_and_a_late_result_is_gone() {
    let plane = Plane::start().await;
    let run = plane.run(retries(1)).await;
    let runner = plane.runner("r").await;
    for attempt in [1, 2] {
        // The poll itself ends what the runner held past its end; nobody has to wait for the reaper.
        let grant = plane.lease(&runner).await;
        assert_eq!(grant.attempt.number, attempt);
        plane.clock.advance(TTL);
        // Dead from this moment on, reaped or not.
        let late = plane
            .app
            .leases()
            .finish_run(&runner, run.id, &grant.lease_token, outcome(ResultStatus::Completed).into())
            .await;
        assert!(matches!(late, Err(Error::Refused(Refusal::Gone))));
    }
    assert!(plane.poll(&runner, named("i")).await.unwrap().is_none());
    assert_eq!(plane.status(&run).await.status(), RunStatus::Dead);
    let attempts = plane.app.runs().run_attempts(&plane.team, run.id, Page::default()).await.unwrap();
    assert!(attempts.iter().all(|a| a.status() == AttemptStatus::Expired));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_restart_gives_every_lease_its_full_length_again() {
    let plane = Plane::start().await;
    let run = plane.run(retries(0)).await;
    let runner = plane.runner("r").await;
    let grant = plane.lease(&runner).await;
    plane.app.leases().start_run(&runner, run.id, &grant.lease_token).await.unwrap();
    // Out for longer than the lease had left.
    plane.clock.advance(TTL + Duration::from_secs(5));
    let plane = plane.restart().await;
    let (_, attempt) = plane.app.leases().heartbeat(&runner, run.id, &grant.lease_token).await.unwrap();
    assert_eq!(attempt.lease.expires_at, plane.clock.now().plus(TTL));
    let summary = plane.app.runs().runs_summary(&plane.team).await.unwrap();
    assert_eq!((summary.total, summary.active), (1, 1), "the counts are read again");
}

#[tokio::test(flavor = "multi_thread")]
async fn cancel_and_result_race_in_both_orders() {
    let plane = Plane::start().await;
    let runner = plane.runner("r").await;

    let first = plane.run(CreateRun::default()).await;
    let grant = plane.lease(&runner).await;
    plane.app.runs().cancel_run(&plane.team, first.id).await.unwrap();
    let late = plane
        .app
        .leases()
        .finish_run(&runner, first.id, &grant.lease_token, outcome(ResultStatus::Completed).into())
        .await;
    assert!(matches!(late, Err(Error::Refused(Refusal::Cancelling))));
    plane
        .app
        .leases()
        .finish_run(&runner, first.id, &grant.lease_token, outcome(ResultStatus::Cancelled).into())
        .await
        .unwrap();
    assert_eq!(plane.status(&first).await.status(), RunStatus::Cancelled);

    let second = plane.run(CreateRun::default()).await;
    let grant = plane.lease(&runner).await;
    plane
        .app
        .leases()
        .finish_run(&runner, second.id, &grant.lease_token, outcome(ResultStatus::Completed).into())
        .await
        .unwrap();
    let after = plane.app.runs().cancel_run(&plane.team, second.id).await.unwrap();
    assert_eq!((after.status(), after.progress.state.is_cancel_requested()), (RunStatus::Completed, false));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lost_lease_that_is_cancelled_costs_its_runner_no_time() {
    for start in [false, true] {
        let plane = Plane::start().await;
        let cancelled = plane.run(CreateRun::default()).await;
        let next = plane.run(CreateRun::default()).await;
        let runner = plane.runner("r").await;
        let poll = Poll { request_id: Some("p1".to_owned()), start, ..named("i") };
        let lost = plane.poll(&runner, poll.clone()).await.unwrap().unwrap();
        plane.app.runs().cancel_run(&plane.team, cancelled.id).await.unwrap();
        let found = plane.poll(&runner, poll).await.unwrap().unwrap();
        assert_eq!(found.run.id, next.id);
        let ended = plane.status(&cancelled).await;
        assert_eq!(ended.status(), RunStatus::Cancelled);
        assert_eq!(ended.progress.state.first_started_at(), None, "nobody began it");
        let stale = plane.app.leases().heartbeat(&runner, cancelled.id, &lost.lease_token).await;
        assert!(matches!(stale, Err(Error::Refused(Refusal::Gone))), "{stale:?}");
    }
}

/// The reaper could not write that the lease was over, because the disk was full, say.
#[tokio::test(flavor = "multi_thread")]
async fn a_lease_that_was_refused_and_is_valid_again_after_a_restart_ends_as_any_other() {
    let plane = Plane::start().await;
    let run = plane.run(retries(1)).await;
    let runner = plane.runner("r").await;
    let grant = plane.lease(&runner).await;
    plane.app.leases().start_run(&runner, run.id, &grant.lease_token).await.unwrap();
    plane.clock.advance(TTL);
    let gone = plane.app.leases().release_run(&runner, run.id, &grant.lease_token).await;
    assert!(matches!(gone, Err(Error::Refused(Refusal::Gone))), "{gone:?}");
    let plane = plane.restart().await;
    let other = plane.runner("other").await;
    assert!(plane.poll(&other, named("o")).await.unwrap().is_none(), "the lease is valid again");
    // Nobody acts under it, so it runs out once more: here the runner's own poll meets it.
    plane.clock.advance(TTL);
    let again = plane.lease(&runner).await;
    assert_eq!((again.run.id, again.attempt.number, again.run.progress.retries.used), (run.id, 2, 1));
}
