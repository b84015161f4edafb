//! Runs that wait for their app, for a place under their key, or for other runs: who starts when, and what a restart leaves of it.

use std::time::Duration;

use minitower_runs::domain::after::{After, Until};
use minitower_runs::domain::app::Change;
use minitower_runs::domain::claim::Poll;
use minitower_runs::domain::run::{Blocked, Run};
use minitower_runs::domain::runner::RunnerPrincipal;
use minitower_runs::{Changes, CreateRun, Created, Error, Grant, Unfinished};
use minitower_vocabulary::ids::RunId;
use minitower_vocabulary::statuses::{ResultStatus, RunStatus};
use rstest::rstest;

use crate::support::{Plane, named, outcome, retries};

/// How long something may take that comes by itself.
const SOON: Duration = Duration::from_secs(10);

fn keyed(key: Option<&str>, max: i64) -> CreateRun {
    CreateRun { concurrency: Some((key.map(str::to_owned), max)), ..CreateRun::default() }
}

fn after(runs: &[(&Run, Until)]) -> CreateRun {
    let after = runs.iter().map(|(run, until)| After { run: run.id, until: *until }).collect();
    CreateRun { after, ..CreateRun::default() }
}

fn disabled(disabled: bool) -> Change {
    Change { disabled: Some(Some(disabled)), ..Change::default() }
}

impl Plane {
    /// With what it does by itself.
    async fn alive() -> Self {
        let plane = Self::start().await;
        plane.live();
        plane
    }

    fn live(&self) {
        let app = self.app.clone();
        tokio::spawn(async move { app.run_background().await });
    }

    async fn change(&self, change: Change) {
        self.app.apps().change_app(&self.team, "jobs".to_owned(), change).await.unwrap();
    }

    async fn end(&self, by: &RunnerPrincipal, grant: &Grant, status: ResultStatus) {
        let leases = self.app.leases();
        leases.finish_run(by, grant.run.id, &grant.lease_token, outcome(status).into()).await.unwrap();
    }

    async fn blocked_by(&self, run: &Run) -> Option<Blocked> {
        self.status(run).await.progress.state.blocked_by()
    }

    /// Waits until what a run waits for is this.
    async fn until_blocked_by(&self, run: &Run, reason: Option<Blocked>) {
        let wait = async {
            while self.blocked_by(run).await != reason {
                tokio::time::sleep(Duration::from_millis(2)).await;
            }
        };
        let found = tokio::time::timeout(SOON, wait).await;
        assert!(found.is_ok(), "run {} waits for {:?}, not {reason:?}", run.id, self.blocked_by(run).await);
    }

    async fn until_ended(&self, run: &Run) -> Run {
        self.app.runs().run_ended(&self.team, run.id, SOON).await.unwrap()
    }

    async fn poll_for(&self, by: &RunnerPrincipal) -> Option<RunId> {
        self.poll(by, named("i")).await.unwrap().map(|grant| grant.run.id)
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_disabled_app_refuses_new_runs_and_none_of_its_runs_is_leased_until_it_is_enabled() {
    let plane = Plane::alive().await;
    let runner = plane.runner("r1").await;
    let runs = [plane.run(retries(0)).await, plane.run(retries(0)).await, plane.run(retries(0)).await];
    let urgent = plane.run(CreateRun { priority: Some(9), ..CreateRun::default() }).await;
    plane.change(disabled(true)).await;
    assert_eq!(plane.poll_for(&runner).await, None, "from the answer on");
    let refused = plane.app.runs().create_run(&plane.team, "jobs".to_owned(), retries(0)).await.unwrap_err();
    assert!(matches!(&refused, Error::AppDisabled(app) if app == "jobs"), "{refused}");
    for run in &runs {
        plane.until_blocked_by(run, Some(Blocked::Disabled)).await;
    }
    let plane = plane.restart().await;
    plane.live();
    let runner = plane.app.leases().authenticate(Some(&token(&plane, "r1").await)).await.unwrap_or(runner);
    assert_eq!(plane.poll_for(&runner).await, None, "a restart changes nothing");

    plane.change(disabled(false)).await;
    plane.until_blocked_by(&runs[2], None).await;
    let mut order = Vec::new();
    for _ in 0..4 {
        let grant = plane.lease(&runner).await;
        order.push(grant.run.id);
        plane.end(&runner, &grant, ResultStatus::Completed).await;
    }
    assert_eq!(order, [urgent.id, runs[0].id, runs[1].id, runs[2].id], "at their old places");
}

/// The runner's token again.
async fn token(plane: &Plane, name: &str) -> String {
    let new = minitower_runs::Register { name: name.to_owned(), ..minitower_runs::Register::default() };
    plane.app.runners().register_runner(plane.registration, new).await.unwrap().token
}

#[tokio::test(flavor = "multi_thread")]
async fn an_app_that_is_disabled_lets_what_runs_go_on_and_holds_what_comes_back() {
    let plane = Plane::alive().await;
    let runner = plane.runner("r1").await;
    let run = plane.run(retries(0)).await;
    let grant = plane.lease(&runner).await;
    plane.change(disabled(true)).await;
    plane.app.leases().release_run(&runner, run.id, &grant.lease_token).await.unwrap();
    assert_eq!(plane.blocked_by(&run).await, Some(Blocked::Disabled));
    plane.change(disabled(false)).await;
    plane.until_blocked_by(&run, None).await;
    assert_eq!(plane.poll_for(&runner).await, Some(run.id));
}

#[tokio::test(flavor = "multi_thread")]
async fn no_more_runs_of_a_key_are_active_than_it_says_and_the_first_in_the_queue_comes_next() {
    let plane = Plane::alive().await;
    let [r1, r2, r3] = [plane.runner("r1").await, plane.runner("r2").await, plane.runner("r3").await];
    let mut runs = Vec::new();
    for _ in 0..4 {
        runs.push(plane.run(keyed(Some("db"), 2)).await);
    }
    let urgent = plane.run(CreateRun { priority: Some(1), ..keyed(Some("db"), 2) }).await;
    let free = plane.run(retries(0)).await;
    assert_eq!(plane.blocked_by(&runs[1]).await, None);
    assert_eq!(plane.blocked_by(&runs[2]).await, Some(Blocked::Limit));
    assert_eq!(plane.blocked_by(&urgent).await, Some(Blocked::Limit), "the places are taken");
    let (first, second) = (plane.lease(&r1).await, plane.lease(&r2).await);
    assert_eq!([first.run.id, second.run.id], [runs[0].id, runs[1].id]);
    assert_eq!(plane.poll_for(&r3).await, Some(free.id), "what shares nothing waits for nobody");

    plane.end(&r1, &first, ResultStatus::Failed).await;
    plane.until_blocked_by(&urgent, None).await;
    assert_eq!(plane.blocked_by(&runs[2]).await, Some(Blocked::Limit), "one place, one run");
    assert_eq!(plane.poll_for(&r1).await, Some(urgent.id));
    plane.app.runs().cancel_run(&plane.team, runs[1].id).await.unwrap();
    assert_eq!(plane.blocked_by(&runs[2]).await, Some(Blocked::Limit), "a run that is cancelling is active");
    plane.end(&r2, &second, ResultStatus::Cancelled).await;
    plane.until_blocked_by(&runs[2], None).await;
    assert_eq!(plane.blocked_by(&runs[3]).await, Some(Blocked::Limit));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_poll_that_waits_is_woken_by_the_place_that_becomes_free() {
    let plane = Plane::alive().await;
    let [r1, r2] = [plane.runner("r1").await, plane.runner("r2").await];
    let runs = [plane.run(keyed(None, 1)).await, plane.run(keyed(None, 1)).await];
    assert_eq!(runs[1].concurrency.as_ref().unwrap().key, "jobs", "the slug of its app");
    let first = plane.lease(&r1).await;
    let (app, by) = (plane.app.clone(), r2.clone());
    let waits = tokio::spawn(async move { app.leases().lease(&by, Poll::default(), SOON).await.unwrap() });
    plane.end(&r1, &first, ResultStatus::Completed).await;
    let grant = waits.await.unwrap().and_then(minitower_runs::Offer::deliver).expect("the second run");
    assert_eq!(grant.run.id, runs[1].id);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_run_that_is_given_back_where_no_runner_is_keeps_nobody_elsewhere_from_its_place() {
    let plane = Plane::alive().await;
    let there = CreateRun { environment: Some("there".to_owned()), ..keyed(Some("db"), 1) };
    let (first, second) = (plane.run(keyed(Some("db"), 1)).await, plane.run(there).await);
    let runner = plane.runner("r1").await;
    let grant = plane.lease(&runner).await;
    assert_eq!(grant.run.id, first.id);
    plane.change(disabled(true)).await;
    plane.until_blocked_by(&second, Some(Blocked::Disabled)).await;
    plane.change(disabled(false)).await;
    plane.until_blocked_by(&second, Some(Blocked::Limit)).await;
    plane.app.leases().release_run(&runner, first.id, &grant.lease_token).await.unwrap();
    plane.until_blocked_by(&second, None).await;
    assert_eq!(plane.blocked_by(&first).await, None, "whoever is asked for first starts");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_place_is_kept_through_retries_releases_expiries_and_restarts() {
    let mut plane = Plane::alive().await;
    let [r1, r2] = [plane.runner("r1").await, plane.runner("r2").await];
    let retried = CreateRun { max_retries: Some(3), ..keyed(Some("db"), 1) };
    let (first, second) = (plane.run(retried).await, plane.run(keyed(Some("db"), 1)).await);
    let grant = plane.lease(&r1).await;
    plane.app.leases().release_run(&r1, first.id, &grant.lease_token).await.unwrap();
    plane.until_blocked_by(&first, None).await;
    assert_eq!(plane.blocked_by(&second).await, Some(Blocked::Limit), "the first is at its old place");
    assert_eq!(plane.poll_for(&r1).await, Some(first.id));
    plane = plane.restart().await;
    plane.live();
    assert_eq!(plane.poll_for(&r2).await, None, "it is still active");
    plane.clock.advance(crate::support::TTL * 2);
    // Its lease runs out: it is queued again, behind the one that has waited meanwhile.
    plane.until_blocked_by(&second, None).await;
    assert_eq!(plane.blocked_by(&first).await, Some(Blocked::Limit));
    let grant = plane.lease(&r2).await;
    assert_eq!(grant.run.id, second.id);
    plane.app.runs().delete_run(&plane.team, second.id, Unfinished::Cancel).await.unwrap();
    plane.end(&r2, &grant, ResultStatus::Cancelled).await;
    plane.until_blocked_by(&first, None).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_limit_of_an_app_holds_for_the_runs_that_wait_already() {
    let plane = Plane::alive().await;
    let [r1, r2] = [plane.runner("r1").await, plane.runner("r2").await];
    let limit = |max| Change { concurrency: Some(Some((None, max))), ..Change::default() };
    plane.change(limit(1)).await;
    let runs = [plane.run(retries(0)).await, plane.run(retries(0)).await, plane.run(retries(0)).await];
    assert_eq!(plane.blocked_by(&runs[1]).await, Some(Blocked::Limit));
    plane.change(limit(2)).await;
    plane.until_blocked_by(&runs[1], None).await;
    assert_eq!(plane.blocked_by(&runs[2]).await, Some(Blocked::Limit));
    plane.change(limit(1)).await;
    assert_eq!(plane.poll_for(&r1).await, Some(runs[0].id));
    assert_eq!(plane.poll_for(&r2).await, None, "it was ready under the former limit");
    plane.change(Change { concurrency: Some(None), ..Change::default() }).await;
    plane.until_blocked_by(&runs[2], None).await;
    assert_eq!(plane.poll_for(&r2).await, Some(runs[1].id));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_run_comes_after_all_that_it_names() {
    let plane = Plane::alive().await;
    let runner = plane.runner("r1").await;
    let (first, second) = (plane.run(retries(0)).await, plane.run(retries(0)).await);
    let last = plane.run(after(&[(&first, Until::Completed), (&second, Until::Ended)])).await;
    assert_eq!(last.progress.state.blocked_by(), Some(Blocked::After));
    let grant = plane.lease(&runner).await;
    plane.end(&runner, &grant, ResultStatus::Completed).await;
    let grant = plane.lease(&runner).await;
    assert_eq!(plane.blocked_by(&last).await, Some(Blocked::After), "one of them runs");
    plane.end(&runner, &grant, ResultStatus::Failed).await;
    plane.until_blocked_by(&last, None).await;
    assert_eq!(plane.poll_for(&runner).await, Some(last.id));
    // All of it is so already.
    let ready = plane.run(after(&[(&first, Until::Completed), (&second, Until::Ended)])).await;
    assert!(ready.progress.state.is_ready());
    // None of it ever will be.
    let never = plane.run(after(&[(&first, Until::Completed), (&second, Until::Completed)])).await;
    let end = never.progress.state.end().expect("it is cancelled at once");
    assert!(
        end.error_message.as_deref().unwrap().contains(&format!("run {} had to complete first", second.id))
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_chain_falls_with_its_first_run_and_what_waits_for_any_end_goes_on() {
    let plane = Plane::alive().await;
    let first = plane.run(retries(0)).await;
    let mut chain = vec![plane.run(after(&[(&first, Until::Completed)])).await];
    for _ in 0..20 {
        let before = chain.last().unwrap().clone();
        chain.push(plane.run(after(&[(&before, Until::Completed)])).await);
    }
    let whatever = plane.run(after(&[(chain.last().unwrap(), Until::Ended)])).await;
    plane.app.runs().cancel_run(&plane.team, first.id).await.unwrap();
    for run in &chain {
        let ended = plane.until_ended(run).await;
        assert_eq!(
            (ended.status(), ended.progress.state.is_cancel_requested()),
            (RunStatus::Cancelled, false)
        );
    }
    plane.until_blocked_by(&whatever, None).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_run_that_fell_with_the_one_before_it_is_repeated_behind_its_retry() {
    let plane = Plane::alive().await;
    let first = plane.run(retries(0)).await;
    let behind = plane.run(after(&[(&first, Until::Completed)])).await;
    let first = plane.app.runs().cancel_run(&plane.team, first.id).await.unwrap();
    plane.until_ended(&behind).await;

    let again = async |run: &Run, after: Vec<After>| {
        let changes = Changes { after, ..Changes::default() };
        plane.app.runs().retry_run(&plane.team, run.id, changes, None).await
    };
    let new = async |run: &Run, after: Vec<After>| match again(run, after).await.unwrap() {
        Created::New(run) | Created::Before(run) => run,
    };
    let fixed = new(&first, Vec::new()).await;
    let next = new(&behind, after(&[(&fixed, Until::Completed)]).after).await;
    plane.until_blocked_by(&next, Some(Blocked::After)).await;
    let runner = plane.runner("r1").await;
    let grant = plane.lease(&runner).await;
    assert_eq!(grant.run.id, fixed.id);
    plane.end(&runner, &grant, ResultStatus::Completed).await;
    plane.until_blocked_by(&next, None).await;
    assert_eq!(plane.lease(&runner).await.run.id, next.id);

    // What it names is checked as that of a new run is.
    let twice = after(&[(&first, Until::Ended), (&first, Until::Completed)]).after;
    assert!(again(&behind, twice).await.is_err());
}

#[tokio::test(flavor = "multi_thread")]
async fn what_ended_just_before_a_restart_is_found_by_those_who_waited_for_it() {
    // Nothing runs by itself, so nobody looks before the restart.
    let plane = Plane::start().await;
    let runner = plane.runner("r1").await;
    let first = plane.run(retries(0)).await;
    let (behind, beside) =
        (plane.run(after(&[(&first, Until::Completed)])).await, plane.run(keyed(Some("db"), 1)).await);
    let held = plane.run(keyed(Some("db"), 1)).await;
    for _ in 0..2 {
        let grant = plane.lease(&runner).await;
        plane.end(&runner, &grant, ResultStatus::Completed).await;
    }
    assert_eq!(plane.status(&beside).await.status(), RunStatus::Completed);
    let plane = plane.restart().await;
    assert_eq!(plane.blocked_by(&behind).await, Some(Blocked::After));
    assert_eq!(plane.blocked_by(&held).await, Some(Blocked::Limit));
    plane.live();
    plane.until_blocked_by(&behind, None).await;
    plane.until_blocked_by(&held, None).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_run_with_several_reasons_waits_for_all_of_them() {
    let plane = Plane::alive().await;
    let [r1, r2] = [plane.runner("r1").await, plane.runner("r2").await];
    let (first, holder) = (plane.run(retries(0)).await, plane.run(keyed(Some("db"), 1)).await);
    let run = plane
        .run(CreateRun { concurrency: Some((Some("db".to_owned()), 1)), ..after(&[(&first, Until::Ended)]) })
        .await;
    let (grant, held) = (plane.lease(&r1).await, plane.lease(&r2).await);
    assert_eq!(held.run.id, holder.id);
    plane.change(disabled(true)).await;
    plane.end(&r1, &grant, ResultStatus::Completed).await;
    plane.until_blocked_by(&run, Some(Blocked::Disabled)).await;
    plane.change(disabled(false)).await;
    plane.until_blocked_by(&run, Some(Blocked::Limit)).await;
    plane.end(&r2, &held, ResultStatus::Completed).await;
    plane.until_blocked_by(&run, None).await;
    assert_eq!(plane.poll_for(&r1).await, Some(run.id));
}

#[rstest]
#[case(Until::Completed, RunStatus::Cancelled)]
#[case(Until::Ended, RunStatus::Queued)]
#[tokio::test(flavor = "multi_thread")]
async fn a_run_that_is_deleted_has_ended_but_not_completed(
    #[case] until: Until,
    #[case] expected: RunStatus,
) {
    let plane = Plane::alive().await;
    let first = plane.run(retries(0)).await;
    let behind = plane.run(after(&[(&first, until)])).await;
    plane.app.runs().delete_run(&plane.team, first.id, Unfinished::Cancel).await.unwrap();
    if expected == RunStatus::Queued {
        plane.until_blocked_by(&behind, None).await;
    } else {
        plane.until_ended(&behind).await;
    }
    assert_eq!(plane.status(&behind).await.status(), expected);
    let unknown = CreateRun { after: vec![After { run: first.id, until }], ..CreateRun::default() };
    let refused = plane.app.runs().create_run(&plane.team, "jobs".to_owned(), unknown).await.unwrap_err();
    assert!(matches!(refused, Error::Absent(_)), "{refused}");
}
