//! Runners: fences, sign-off, registration, and processes that have ended.

use std::time::Duration;

use minitower_runs::CreateRun;
use minitower_runs::Error;
use minitower_runs::ListRunners;
use minitower_runs::Register;
use minitower_runs::domain::claim::Poll;
use minitower_runs::domain::lease::Refusal;
use minitower_runs::domain::runner::{HeldBy, RunnerScope};
use minitower_teams::{AdminPrincipal, CreatePoolToken};

use crate::support::{Plane, named, retries};
use minitower_vocabulary::limits::LimitName;
use minitower_vocabulary::statuses::RunStatus;

#[tokio::test(flavor = "multi_thread")]
async fn a_fence_never_lets_a_lease_through_with_two_owners() {
    let plane = Plane::start().await;
    let runner = plane.runner("r").await;
    let operator = AdminPrincipal::Operator;
    let (a, b) = (Some("pool-a".to_owned()), Some("person".to_owned()));
    for owner in [&a, &b] {
        let drained = plane.app.runners().drain(&operator, "r".to_owned(), owner.clone()).await.unwrap();
        assert!(drained.draining && drained.run_id.is_none());
    }
    plane.run(CreateRun::default()).await;
    let (app, waiting) = (plane.app.clone(), runner.clone());
    let poll = tokio::spawn(async move {
        let offer = app.leases().lease(&waiting, Poll::default(), Duration::from_secs(30)).await.unwrap();
        offer.and_then(minitower_runs::Offer::deliver)
    });
    let one_left = plane.app.runners().undrain(&operator, "r".to_owned(), a.clone()).await.unwrap();
    assert!(one_left.draining);
    // A team cannot lift the operator's fence, not even by its owner's name: the runner is not its own.
    let team = AdminPrincipal::Team(plane.team.clone());
    assert!(matches!(
        plane.app.runners().undrain(&team, "r".to_owned(), b.clone()).await,
        Err(Error::Absent(_))
    ));
    assert!(plane.poll(&plane.runner("other").await, named("o")).await.unwrap().is_some());
    plane.run(CreateRun::default()).await;
    assert!(!poll.is_finished());
    let free = plane.app.runners().undrain(&operator, "r".to_owned(), b).await.unwrap();
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
    plane.app.leases().sign_off(&runner, None).await.unwrap();
    let after = plane.status(&run).await;
    assert_eq!((after.status(), after.progress.queued_at), (RunStatus::Queued, run.progress.queued_at));
    let stale = plane.app.leases().start_run(&runner, run.id, &leased.lease_token).await;
    assert!(matches!(stale, Err(Error::Refused(Refusal::Gone))));
    // It polls again: it is served again; and what it has started it keeps.
    let again = plane.lease(&runner).await;
    plane.app.leases().start_run(&runner, run.id, &again.lease_token).await.unwrap();
    plane.app.leases().sign_off(&runner, None).await.unwrap();
    assert_eq!(plane.status(&run).await.status(), RunStatus::Running);
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
            app.runners()
                .process_ended(&AdminPrincipal::Operator, "r".to_owned(), Some(instance), reason)
                .await
        }
    };
    assert!(matches!(ended("pod-2").await, Err(Error::Refused(Refusal::OtherInstance))));
    assert_eq!(plane.status(&run).await.status(), RunStatus::Leased);
    ended("pod-1").await.unwrap();
    let after = plane.status(&run).await;
    assert_eq!(after.status(), RunStatus::Dead);
    assert_eq!(after.progress.state.end().unwrap().error_message.as_deref(), Some("OOMKilled"));
    assert!(matches!(ended("pod-1").await, Err(Error::RunnerIdle(_))), "nothing is active any more");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_poll_of_the_token_before_a_registration_gets_nothing() {
    let plane = Plane::start().await;
    let runner = plane.runner("r").await;
    let leases = plane.app.leases();
    let poll = leases.lease(&runner, Poll::default(), Duration::from_secs(30));
    tokio::pin!(poll);
    tokio::select! {
        biased;
        _ = &mut poll => panic!("there is no work yet"),
        () = std::future::ready(()) => {}
    }
    // The same name registers again, elsewhere: the former token is dead, and so is what waits under it.
    let new = Register { name: "r".to_owned(), environment: Some("gpu".to_owned()), ..Register::default() };
    plane.app.runners().register_runner(plane.registration, new).await.unwrap();
    let run = plane.run(CreateRun::default()).await;
    let answered = tokio::time::timeout(Duration::from_secs(5), poll).await.unwrap().unwrap();
    assert!(answered.is_none(), "a run was leased to a token that is dead");
    assert_eq!(plane.status(&run).await.status(), RunStatus::Queued);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_team_that_forgets_its_runner_does_not_lift_the_operators_fence() {
    let plane = Plane::start().await;
    let (_, token) = plane.app.teams().create_registration_token(&plane.team).await.unwrap();
    let registration = plane.app.teams().authenticate_registration(Some(&token)).await.unwrap();
    let register = || async {
        let new = Register { name: "own".to_owned(), ..Register::default() };
        plane.app.runners().register_runner(registration, new).await
    };
    register().await.unwrap();
    let team = AdminPrincipal::Team(plane.team.clone());
    for holder in [&AdminPrincipal::Operator, &team] {
        plane.app.runners().drain(holder, "own".to_owned(), None).await.unwrap();
    }
    plane.app.runners().forget_runner(&team, "own".to_owned()).await.unwrap();
    // From then on it is the name of a pod to come.
    let refused = register().await.map(|registered| registered.id);
    assert!(matches!(refused, Err(Error::RunnerNameHeld { by: HeldBy::Platform, .. })), "{refused:?}");
    plane.app.runners().undrain(&AdminPrincipal::Operator, "own".to_owned(), None).await.unwrap();
    let again = register().await.unwrap();
    let again = plane.app.leases().authenticate(Some(&again.token)).await.unwrap();
    plane.run(CreateRun::default()).await;
    assert!(plane.poll(&again, named("i")).await.unwrap().is_some(), "the team's own went with the runner");
}

#[tokio::test(flavor = "multi_thread")]
async fn runners_that_are_silent_are_forgotten_in_one_round_however_many() {
    let after = Duration::from_secs(3600);
    let plane = Plane::start_with(|settings| {
        settings.runs.runner_prune_after = Some(after);
        settings.runs.expiry_check_interval = Duration::from_secs(3600);
    })
    .await;
    for number in 0..35 {
        plane.runner(&format!("pod-{number}")).await;
    }
    plane.app.runners().drain(&AdminPrincipal::Operator, "pod-7".to_owned(), None).await.unwrap();
    plane.clock.advance(2 * after);
    plane.runner("kept").await;
    // Its first round is at once, and there is no other within this test.
    let upkeep = tokio::spawn({
        let app = plane.app.clone();
        async move { app.run_background().await }
    });
    let left = tokio::time::timeout(Duration::from_secs(10), async {
        loop {
            let all = plane
                .app
                .runners()
                .list_runners(&AdminPrincipal::Operator, ListRunners::default())
                .await
                .unwrap();
            if all.len() == 1 {
                return all;
            }
            tokio::task::yield_now().await;
        }
    });
    assert_eq!(
        left.await.unwrap()[0].runner.name,
        "kept",
        "it holds a run, or did until its lease ended just now"
    );
    upkeep.abort();
    plane.runner("pod-7").await;
    let again = plane
        .app
        .runners()
        .undrain(&AdminPrincipal::Operator, "pod-7".to_owned(), Some("nobody".to_owned()))
        .await;
    assert!(!again.unwrap().draining, "its fence went with it");
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_left_of_a_name_that_was_fenced_and_never_came() {
    let plane = Plane::start().await;
    let operator = AdminPrincipal::Operator;
    for owner in ["pool:ns/a", "person"] {
        plane.app.runners().drain(&operator, "pod".to_owned(), Some(owner.to_owned())).await.unwrap();
    }
    plane.app.runners().forget_runner(&operator, "pod".to_owned()).await.unwrap();
    assert!(matches!(
        plane.app.runners().forget_runner(&operator, "pod".to_owned()).await,
        Err(Error::Absent(_))
    ));
    let runner = plane.runner("pod").await;
    plane.run(CreateRun::default()).await;
    assert!(plane.poll(&runner, named("i")).await.unwrap().is_some(), "no fence is left");

    // A team knows nothing of names that are not there, and lifts no fence on them.
    plane.app.runners().drain(&operator, "other".to_owned(), None).await.unwrap();
    let team = AdminPrincipal::Team(plane.team.clone());
    assert!(matches!(
        plane.app.runners().forget_runner(&team, "other".to_owned()).await,
        Err(Error::Absent(_))
    ));
    let still =
        plane.app.runners().undrain(&operator, "other".to_owned(), Some("nobody".to_owned())).await.unwrap();
    assert!(still.draining);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pools_former_token_ends_some_minutes_after_the_new_one_is_used() {
    let plane = Plane::start().await;
    let teams = plane.app.teams();
    let make = async || {
        let new = CreatePoolToken {
            namespace: "ns".to_owned(),
            pool: "cpu".to_owned(),
            environment: None,
            team: Some(plane.team.team_slug.clone()),
        };
        teams.create_pool_token(new).await.unwrap().token
    };
    let register = async |token: &str| {
        let by = teams.authenticate_registration(Some(token)).await.map_err(Error::from)?;
        let (name, pool) = ("cpu-1".to_owned(), Some("ns/cpu".to_owned()));
        let new = Register { name, pool, ..Register::default() };
        plane.app.runners().register_runner(by, new).await.map(|registered| registered.scope)
    };
    let (former, new) = (make().await, make().await);
    plane.clock.advance(Duration::from_hours(24 * 365));
    assert_eq!(register(&former).await.unwrap(), RunnerScope::Team(plane.team.team_id));
    register(&new).await.unwrap();
    plane.clock.advance(Duration::from_secs(599));
    register(&former).await.unwrap();
    let shown_in_time = teams.authenticate_registration(Some(&former)).await.unwrap();
    plane.clock.advance(Duration::from_secs(1));
    let refused = register(&former).await;
    assert!(
        matches!(refused, Err(Error::Teams(minitower_teams::Error::Unauthorized))),
        "ten minutes after: {refused:?}"
    );
    // Also one that was good when it was shown.
    let new_runner =
        Register { name: "cpu-2".to_owned(), pool: Some("ns/cpu".to_owned()), ..Register::default() };
    let late = plane.app.runners().register_runner(shown_in_time, new_runner).await.map(|made| made.id);
    assert!(matches!(late, Err(Error::Teams(minitower_teams::Error::Unauthorized))), "{late:?}");
    register(&new).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pools_token_registers_that_pools_runners_alone() {
    let plane = Plane::start().await;
    let new =
        CreatePoolToken { namespace: "ns".to_owned(), pool: "cpu".to_owned(), ..CreatePoolToken::default() };
    let token = plane.app.teams().create_pool_token(new).await.unwrap().token;
    let by = plane.app.teams().authenticate_registration(Some(&token)).await.unwrap();
    let runner = |name: &str, environment: &str, pool: Option<&str>| Register {
        name: name.to_owned(),
        environment: Some(environment.to_owned()),
        pool: pool.map(str::to_owned),
        ..Register::default()
    };
    for other in [
        runner("cpu-1", "default", Some("ns/gpu")),
        runner("cpu-1", "default", None),
        runner("cpu-1", "gpu", Some("ns/cpu")),
        runner("gpu-1", "default", Some("ns/cpu")),
    ] {
        let refused = plane.app.runners().register_runner(by, other).await.map(|made| made.id);
        let not_of_pool = matches!(refused, Err(Error::Teams(minitower_teams::Error::NotOfPool(_))));
        assert!(not_of_pool, "{refused:?}");
    }
    let own = runner("cpu-1", "default", Some("ns/cpu"));
    assert_eq!(plane.app.runners().register_runner(by, own).await.unwrap().scope, RunnerScope::Platform);
}

/// Registers `name` for `pool` with that token.
async fn register(plane: &Plane, token: &str, name: &str, pool: &str) -> Result<RunnerScope, Error> {
    let by = plane.app.teams().authenticate_registration(Some(token)).await.unwrap();
    let new = Register { name: name.to_owned(), pool: Some(pool.to_owned()), ..Register::default() };
    plane.app.runners().register_runner(by, new).await.map(|registered| registered.scope)
}

/// A token of the pool `NAMESPACE/cpu`, bound to that team or to the platform.
async fn pool_token(plane: &Plane, namespace: &str, team: Option<&str>) -> String {
    let new = CreatePoolToken {
        namespace: namespace.to_owned(),
        pool: "cpu".to_owned(),
        environment: None,
        team: team.map(str::to_owned),
    };
    plane.app.teams().create_pool_token(new).await.unwrap().token
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pools_token_takes_no_name_from_another_pool_of_whatever_team() {
    let plane = Plane::start().await;
    let of_team = pool_token(&plane, "one", Some(&plane.team.team_slug)).await;
    let of_platform = pool_token(&plane, "two", None).await;
    let scope = register(&plane, &of_team, "cpu-1", "one/cpu").await.unwrap();
    assert_eq!(scope, RunnerScope::Team(plane.team.team_id));
    let refused = register(&plane, &of_platform, "cpu-1", "two/cpu").await;
    assert!(matches!(refused, Err(Error::RunnerNameHeld { by: HeldBy::AnotherPool, .. })), "{refused:?}");
    register(&plane, &of_team, "cpu-1", "one/cpu").await.unwrap();
    // Nor does whoever has the platform's token.
    let new = Register { name: "cpu-1".to_owned(), pool: Some("two/cpu".to_owned()), ..Register::default() };
    let refused = plane.app.runners().register_runner(plane.registration, new).await.map(|made| made.id);
    assert!(matches!(refused, Err(Error::RunnerNameHeld { by: HeldBy::AnotherPool, .. })), "{refused:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_pods_of_a_teams_pool_get_their_names_from_another_team_that_was_there_first() {
    let plane = Plane::start().await;
    let other = plane.another_team("other").await;
    let (_, squatter) = plane.app.teams().create_registration_token(&other).await.unwrap();
    assert_eq!(
        register(&plane, &squatter, "cpu-0", "ns/cpu").await.unwrap(),
        RunnerScope::Team(other.team_id)
    );
    let pools = pool_token(&plane, "ns", Some(&plane.team.team_slug)).await;
    let scope = register(&plane, &pools, "cpu-0", "ns/cpu").await.unwrap();
    assert_eq!(scope, RunnerScope::Team(plane.team.team_id));
    let refused = register(&plane, &squatter, "cpu-0", "ns/cpu").await;
    assert!(matches!(refused, Err(Error::RunnerNameHeld { by: HeldBy::AnotherTeam, .. })), "{refused:?}");

    // Also one that the operator has fenced before it came.
    plane.app.runners().drain(&AdminPrincipal::Operator, "cpu-1".to_owned(), None).await.unwrap();
    let refused = register(&plane, &squatter, "cpu-1", "ns/cpu").await;
    assert!(matches!(refused, Err(Error::RunnerNameHeld { by: HeldBy::Platform, .. })), "{refused:?}");
    register(&plane, &pools, "cpu-1", "ns/cpu").await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_team_has_no_more_runners_than_it_may_and_those_that_are_forgotten_do_not_count() {
    let plane = Plane::start().await;
    let (_, token) = plane.app.teams().create_registration_token(&plane.team).await.unwrap();
    plane.app.teams().allow_limits("acme", vec![(LimitName::Runners, Some(2))]).await.unwrap();
    let used = async || plane.app.runners().used(plane.team.team_id).await.unwrap();
    for name in ["one", "two", "one"] {
        register(&plane, &token, name, "p").await.unwrap();
    }
    let refused = register(&plane, &token, "three", "p").await;
    assert!(
        matches!(&refused, Err(Error::Reached(reached)) if reached.name == LimitName::Runners),
        "{refused:?}"
    );
    assert_eq!(used().await, [(LimitName::Runners, 2)], "nothing is left of it");
    plane.runner("of-the-platform").await;
    let team = AdminPrincipal::Team(plane.team.clone());
    plane.app.runners().forget_runner(&team, "one".to_owned()).await.unwrap();
    register(&plane, &token, "three", "p").await.unwrap();
    assert_eq!(used().await, [(LimitName::Runners, 2)]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_flood_of_registrations_is_slowed_down_and_other_tokens_are_not() {
    let plane = Plane::start().await;
    let tokens = [(); 2].map(|()| plane.app.teams().create_registration_token(&plane.team));
    let [first, second] = tokens.map(async |made| made.await.unwrap().1);
    let (first, second) = (first.await, second.await);
    let mut refused = None;
    for number in 0..=100 {
        refused = register(&plane, &first, &format!("r{number}"), "p").await.err();
    }
    let too_many =
        |error: &Error| matches!(error, Error::Teams(minitower_teams::Error::TooManyRegistrations { .. }));
    assert!(refused.as_ref().is_some_and(too_many), "{refused:?}");
    register(&plane, &second, "other", "p").await.unwrap();
    plane.clock.advance(Duration::from_secs(1));
    register(&plane, &first, "later", "p").await.unwrap();
}
