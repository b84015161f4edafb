//! The lease protocol on a real database: what the domain decides is what the tables hold, whoever races.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test may panic")]

mod support;

use std::collections::HashSet;
use std::time::Duration;

use minitower_app::Error;
use minitower_app::auth::AdminPrincipal;
use minitower_app::page::Page;
use minitower_app::runners::Register;
use minitower_app::runs::CreateRun;
use minitower_domain::attempt::{AttemptStatus, ResultReason, ResultStatus};
use minitower_domain::claim::Poll;
use minitower_domain::lease::Outcome;
use minitower_domain::run::RunStatus;
use support::{Plane, TTL, named};

fn outcome(status: ResultStatus) -> Outcome {
    Outcome { status, exit_code: Some(0), error_message: None, reason: Some(ResultReason::Exit) }
}

fn retries(n: i64) -> CreateRun {
    CreateRun { max_retries: Some(n), ..CreateRun::default() }
}

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
            while let Some(offer) = app.lease(&runner, Poll::default(), Duration::ZERO).await.unwrap() {
                let grant = offer.deliver().unwrap();
                mine.push(grant.run.id);
                app.finish_run(&runner, grant.run.id, &grant.lease_token, outcome(ResultStatus::Completed))
                    .await
                    .unwrap();
            }
            mine
        });
    }
    let all: Vec<_> = workers.join_all().await.into_iter().flatten().collect();
    assert_eq!(all.len(), 60);
    assert_eq!(all.iter().collect::<HashSet<_>>().len(), 60, "each run went to exactly one runner");
    let summary = plane.app.runs_summary(&plane.team);
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
            let offer = app.lease(&runner, Poll::default(), Duration::from_secs(30)).await.unwrap();
            offer.and_then(minitower_app::lease::Offer::deliver).map(|grant| grant.run.id)
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
    drop(plane.app.lease(&runner, Poll::default(), Duration::ZERO).await.unwrap().unwrap());
    let other = plane.runner("other").await;
    let offer = plane.app.lease(&other, Poll::default(), Duration::from_secs(10)).await.unwrap().unwrap();
    let grant = offer.deliver().unwrap();
    assert_eq!((grant.run.id, grant.attempt.number), (run.id, 2));
    assert_eq!((grant.run.state.queued_at, grant.run.state.retries.used), (run.state.queued_at, 0));
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
    assert_eq!(found.attempt.state.lease_expires_at, plane.clock.now().plus(TTL));
    let stale = plane.app.start_run(&runner, found.run.id, &lost.lease_token).await;
    assert!(matches!(stale, Err(Error::Gone(_))), "{stale:?}");
    plane.app.start_run(&runner, found.run.id, &found.lease_token).await.unwrap();
    let busy = plane.poll(&runner, poll).await;
    assert!(matches!(busy, Err(Error::Conflict(_))), "started: the same poll is refused like any other");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_superseding_process_ends_only_the_attempt_it_names() {
    let plane = Plane::start().await;
    let run = plane.run(retries(1)).await;
    let runner = plane.runner("r").await;
    let first = plane.poll(&runner, named("old")).await.unwrap().unwrap();
    for supersedes in [None, Some("somebody-else".to_owned())] {
        let refused = plane.poll(&runner, Poll { supersedes, ..named("new") }).await;
        assert!(matches!(refused, Err(Error::Conflict(_))));
    }
    assert_eq!(plane.status(&run).await.state.status, RunStatus::Leased);
    let next = Poll { supersedes: Some("old".to_owned()), ..named("new") };
    let second = plane.poll(&runner, next).await.unwrap().unwrap();
    assert_eq!((second.run.id, second.attempt.number, second.run.state.retries.used), (run.id, 2, 1));
    let late =
        plane.app.finish_run(&runner, run.id, &first.lease_token, outcome(ResultStatus::Completed)).await;
    assert!(matches!(late, Err(Error::Gone(_))));
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
        let late =
            plane.app.finish_run(&runner, run.id, &grant.lease_token, outcome(ResultStatus::Completed)).await;
        assert!(matches!(late, Err(Error::Gone(_))));
    }
    assert!(plane.poll(&runner, named("i")).await.unwrap().is_none());
    assert_eq!(plane.status(&run).await.state.status, RunStatus::Dead);
    let attempts = plane.app.run_attempts(&plane.team, run.id, Page::default()).await.unwrap();
    assert!(attempts.iter().all(|a| a.state.status == AttemptStatus::Expired));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_restart_gives_every_lease_its_full_length_again() {
    let plane = Plane::start().await;
    let run = plane.run(retries(0)).await;
    let runner = plane.runner("r").await;
    let grant = plane.lease(&runner).await;
    plane.app.start_run(&runner, run.id, &grant.lease_token).await.unwrap();
    // Out for longer than the lease had left.
    plane.clock.advance(TTL + Duration::from_secs(5));
    let plane = plane.restart().await;
    let (_, attempt) = plane.app.heartbeat(&runner, run.id, &grant.lease_token).await.unwrap();
    assert_eq!(attempt.state.lease_expires_at, plane.clock.now().plus(TTL));
    let summary = plane.app.runs_summary(&plane.team);
    assert_eq!((summary.total, summary.active), (1, 1), "the counts are read again");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_fence_never_lets_a_lease_through_with_two_owners() {
    let plane = Plane::start().await;
    let runner = plane.runner("r").await;
    let operator = AdminPrincipal::Operator;
    let (a, b) = (Some("pool-a".to_owned()), Some("person".to_owned()));
    for owner in [&a, &b] {
        let drained = plane.app.drain(&operator, "r".to_owned(), owner.clone()).await.unwrap();
        assert!(drained.draining && drained.run_id.is_none());
    }
    plane.run(CreateRun::default()).await;
    let (app, waiting) = (plane.app.clone(), runner.clone());
    let poll = tokio::spawn(async move {
        let offer = app.lease(&waiting, Poll::default(), Duration::from_secs(30)).await.unwrap();
        offer.and_then(minitower_app::lease::Offer::deliver)
    });
    let one_left = plane.app.undrain(&operator, "r".to_owned(), a.clone()).await.unwrap();
    assert!(one_left.draining);
    // A team cannot lift the operator's fence, not even by its owner's name: the runner is not its own.
    let team = AdminPrincipal::Team(plane.team.clone());
    assert!(matches!(plane.app.undrain(&team, "r".to_owned(), b.clone()).await, Err(Error::NotFound(_))));
    assert!(plane.poll(&plane.runner("other").await, named("o")).await.unwrap().is_some());
    plane.run(CreateRun::default()).await;
    assert!(!poll.is_finished());
    let free = plane.app.undrain(&operator, "r".to_owned(), b).await.unwrap();
    assert!(!free.draining);
    let granted = tokio::time::timeout(Duration::from_secs(10), poll).await.unwrap().unwrap();
    assert!(granted.is_some(), "the waiting poll goes on once the last fence is lifted");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_runner_that_signed_off_gets_nothing_and_gives_back_what_it_has_not_started() {
    let plane = Plane::start().await;
    let run = plane.run(retries(0)).await;
    let runner = plane.runner("r").await;
    let leased = plane.lease(&runner).await;
    plane.app.sign_off(&runner).await.unwrap();
    let after = plane.status(&run).await;
    assert_eq!((after.state.status, after.state.queued_at), (RunStatus::Queued, run.state.queued_at));
    let stale = plane.app.start_run(&runner, run.id, &leased.lease_token).await;
    assert!(matches!(stale, Err(Error::Gone(_))));
    // It polls again: it is served again; and what it has started it keeps.
    let again = plane.lease(&runner).await;
    plane.app.start_run(&runner, run.id, &again.lease_token).await.unwrap();
    plane.app.sign_off(&runner).await.unwrap();
    assert_eq!(plane.status(&run).await.state.status, RunStatus::Running);
}

#[tokio::test(flavor = "multi_thread")]
async fn ended_of_another_instance_changes_nothing() {
    let plane = Plane::start().await;
    let run = plane.run(retries(0)).await;
    let runner = plane.runner("r").await;
    plane.poll(&runner, named("pod-1")).await.unwrap().unwrap();
    let ended = |instance: &str| {
        let (app, instance) = (plane.app.clone(), instance.to_owned());
        async move {
            let reason = Some("OOMKilled".to_owned());
            app.process_ended(&AdminPrincipal::Operator, "r".to_owned(), Some(instance), reason).await
        }
    };
    assert!(matches!(ended("pod-2").await, Err(Error::Conflict(_))));
    assert_eq!(plane.status(&run).await.state.status, RunStatus::Leased);
    ended("pod-1").await.unwrap();
    let after = plane.status(&run).await;
    assert_eq!(after.state.status, RunStatus::Dead);
    assert_eq!(after.state.error_message.as_deref(), Some("OOMKilled"));
    assert!(matches!(ended("pod-1").await, Err(Error::Conflict(_))), "nothing is active any more");
}

#[tokio::test(flavor = "multi_thread")]
async fn cancel_and_result_race_in_both_orders() {
    let plane = Plane::start().await;
    let runner = plane.runner("r").await;

    let first = plane.run(CreateRun::default()).await;
    let grant = plane.lease(&runner).await;
    plane.app.cancel_run(&plane.team, first.id).await.unwrap();
    let late =
        plane.app.finish_run(&runner, first.id, &grant.lease_token, outcome(ResultStatus::Completed)).await;
    assert!(matches!(late, Err(Error::Conflict(_))));
    plane
        .app
        .finish_run(&runner, first.id, &grant.lease_token, outcome(ResultStatus::Cancelled))
        .await
        .unwrap();
    assert_eq!(plane.status(&first).await.state.status, RunStatus::Cancelled);

    let second = plane.run(CreateRun::default()).await;
    let grant = plane.lease(&runner).await;
    plane
        .app
        .finish_run(&runner, second.id, &grant.lease_token, outcome(ResultStatus::Completed))
        .await
        .unwrap();
    let after = plane.app.cancel_run(&plane.team, second.id).await.unwrap();
    assert_eq!((after.state.status, after.state.cancel_requested), (RunStatus::Completed, false));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refused_upload_leaves_nothing_on_disk_and_the_same_bytes_are_one_file() {
    let plane = Plane::start().await;
    let objects = plane.folder.path().join("objects");
    let files = || std::fs::read_dir(&objects).unwrap().count();
    assert_eq!(files(), 1);
    assert!(matches!(plane.upload("absent.py").await, Err(Error::ArtifactInvalid(_))));
    assert!(matches!(plane.upload("").await, Err(Error::TowerfileMissing(_))));
    plane.upload("main.py").await.unwrap();
    assert_eq!(files(), 1);
    let mut oversized = plane.app.begin_upload().await.unwrap();
    let refused = oversized.write(&vec![0; (1 << 20) + 1]).await;
    assert!(matches!(refused, Err(Error::PayloadTooLarge(_))));
    drop(oversized);
    assert_eq!(files(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_restored_backup_voids_its_leases_keeps_its_runs_and_gives_out_no_id_twice() {
    let plane = Plane::start().await;
    let run = plane.run(retries(1)).await;
    let runner = plane.runner("r").await;
    let grant = plane.lease(&runner).await;
    plane.stopping.cancel();
    plane.app.close().await.unwrap();
    let (from, to) = (plane.folder.path().join("m.db"), plane.folder.path().join("restored"));
    std::fs::create_dir(&to).unwrap();
    // After the backup the run ends elsewhere; the backup does not know.
    plane.clock.advance(Duration::from_secs(1));
    minitower_store::restore(&to.join("m.db"), &from, TTL, plane.clock.now()).unwrap();
    let twice = minitower_store::restore(&to.join("m.db"), &from, TTL, plane.clock.now()).unwrap_err();
    assert!(twice.to_string().contains("move it away"), "{twice}");

    let (app, _stopping) = support::open(&to, &plane.clock).await;
    let late = app.heartbeat(&runner, run.id, &grant.lease_token).await;
    assert!(matches!(late, Err(Error::Gone(_))), "{late:?}");
    let restored = app.run(&plane.team, run.id).await.unwrap();
    assert_eq!(restored.state.status, RunStatus::Leased, "it waits for the lease to run out");
    plane.clock.advance(TTL);
    let again = app.lease(&runner, Poll::default(), Duration::ZERO).await.unwrap().unwrap();
    let again = again.deliver().unwrap();
    assert_eq!(again.run.id, run.id);
    assert!(again.attempt.id.0 > 1_000_000, "{}", again.attempt.id);
}

#[tokio::test(flavor = "multi_thread")]
async fn ids_given_out_after_a_backup_that_had_none_yet_are_not_given_out_again() {
    let plane = Plane::start().await;
    plane.stopping.cancel();
    plane.app.close().await.unwrap();
    let (from, to) = (plane.folder.path().join("m.db"), plane.folder.path().join("restored"));
    std::fs::create_dir(&to).unwrap();
    // The backup has no run and no runner; after it some were made, and people and runners know their ids.
    minitower_store::restore(&to.join("m.db"), &from, TTL, plane.clock.now()).unwrap();
    let (app, _stopping) = support::open(&to, &plane.clock).await;
    let run = app.create_run(&plane.team, "jobs".to_owned(), CreateRun::default()).await.unwrap();
    assert!(run.id.0 > 1_000_000, "{}", run.id);
    let new = Register { name: "r".to_owned(), ..Register::default() };
    let runner = app.register_runner(plane.registration, new).await.unwrap();
    assert!(runner.id.0 > 1_000_000, "{}", runner.id);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_message_of_megabytes_is_cut_before_it_fills_every_list() {
    let plane = Plane::start().await;
    let (run, runner) = (plane.run(CreateRun::default()).await, plane.runner("r").await);
    let grant = plane.lease(&runner).await;
    let long = Outcome { error_message: Some("ä".repeat(1 << 20)), ..outcome(ResultStatus::Failed) };
    plane.app.finish_run(&runner, run.id, &grant.lease_token, long).await.unwrap();
    let kept = plane.status(&run).await.state.error_message.unwrap();
    assert!(kept.starts_with('ä') && kept.len() == 8 * 1024, "{}", kept.len());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_poll_of_the_token_before_a_registration_gets_nothing() {
    let plane = Plane::start().await;
    let runner = plane.runner("r").await;
    let poll = plane.app.lease(&runner, Poll::default(), Duration::from_secs(30));
    tokio::pin!(poll);
    tokio::select! {
        biased;
        _ = &mut poll => panic!("there is no work yet"),
        () = std::future::ready(()) => {}
    }
    // The same name registers again, elsewhere: the former token is dead, and so is what waits under it.
    let new = Register { name: "r".to_owned(), environment: Some("gpu".to_owned()), ..Register::default() };
    plane.app.register_runner(plane.registration, new).await.unwrap();
    let run = plane.run(CreateRun::default()).await;
    let answered = tokio::time::timeout(Duration::from_secs(5), poll).await.unwrap().unwrap();
    assert!(answered.is_none(), "a run was leased to a token that is dead");
    assert_eq!(plane.status(&run).await.state.status, RunStatus::Queued);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_team_that_forgets_its_runner_does_not_lift_the_operators_fence() {
    let plane = Plane::start().await;
    let (_, token) = plane.app.create_registration_token(&plane.team).await.unwrap();
    let registration = plane.app.authenticate_registration(Some(&token)).await.unwrap();
    let register = || async {
        let new = Register { name: "own".to_owned(), ..Register::default() };
        let registered = plane.app.register_runner(registration, new).await.unwrap();
        plane.app.authenticate_runner(Some(&registered.token)).await.unwrap()
    };
    register().await;
    let team = AdminPrincipal::Team(plane.team.clone());
    for holder in [&AdminPrincipal::Operator, &team] {
        plane.app.drain(holder, "own".to_owned(), None).await.unwrap();
    }
    plane.app.forget_runner(&team, "own".to_owned()).await.unwrap();
    let again = register().await;
    plane.run(CreateRun::default()).await;
    assert!(plane.poll(&again, named("i")).await.unwrap().is_none(), "the operator's fence still holds");
    plane.app.undrain(&AdminPrincipal::Operator, "own".to_owned(), None).await.unwrap();
    assert!(plane.poll(&again, named("i")).await.unwrap().is_some(), "the team's own went with the runner");
}

#[tokio::test(flavor = "multi_thread")]
async fn scrapes_at_the_same_time_each_see_every_gauge() {
    let plane = Plane::start().await;
    plane.run(CreateRun::default()).await;
    let scrapes: Vec<_> = (0..4)
        .map(|_| {
            let app = plane.app.clone();
            std::thread::spawn(move || {
                (0..5000).all(|_| app.metrics().iter().any(|f| f.name() == "minitower_runs_pending"))
            })
        })
        .collect();
    for scrape in scrapes {
        assert!(scrape.join().unwrap(), "a scrape met gauges that another had just emptied");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn wrong_passwords_that_come_all_at_once_are_throttled_like_those_that_come_one_by_one() {
    let plane = Plane::start().await;
    let mut guesses = tokio::task::JoinSet::new();
    for n in 0..40 {
        let app = plane.app.clone();
        guesses.spawn(async move { app.login("acme", format!("guess {n}"), None).await.map(|_| ()) });
    }
    let answers = guesses.join_all().await;
    let checked = answers.iter().filter(|a| matches!(a, Err(Error::Unauthorized(_)))).count();
    let refused = answers.iter().filter(|a| matches!(a, Err(Error::RateLimited { .. }))).count();
    // Two are hashed at a time: few more are under way when the twentieth fails.
    assert!((20..=24).contains(&checked), "{checked} guesses were checked");
    assert_eq!(checked + refused, 40);
}
