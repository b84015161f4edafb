//! Wake-ups: exactly one per run, none lost.

use std::time::Duration;

use crate::domain::moves::run_in;
use crate::domain::run::{RunProgress, RunState, Wait};
use crate::store::events::{CountKey, CountNames};
use minitower_teams::limits::{Defaults, Limits};
use minitower_vocabulary::ids::{AppId, EnvironmentId, RunId};
use minitower_vocabulary::time::Timestamp;

use super::*;

const TEAM: TeamId = TeamId(1);
const OTHER: TeamId = TeamId(2);

fn runner(id: i64, scope: RunnerScope) -> RunnerPrincipal {
    RunnerPrincipal {
        token_hash: [0; 32],
        runner_id: RunnerId(id),
        name: format!("r{id}"),
        scope,
        environment: "default".to_owned(),
    }
}

fn state(status: RunStatus) -> RunProgress {
    RunProgress::queued(0, Timestamp(0)).into_state(run_in(status))
}

fn moved(team: TeamId, before: Option<RunStatus>, after: RunStatus) -> RunMoved {
    RunMoved {
        id: RunId(1),
        key: CountKey { team_id: team, app_id: AppId(1), environment_id: EnvironmentId(1) },
        names: CountNames { app: "a".to_owned(), environment: "default".to_owned() },
        number: 1,
        version: 1,
        runner: None,
        attempts: 0,
        labels: None,
        priority: 0,
        stored: 0,
        created_at: Timestamp(0),
        concurrency: None,
        awaited: false,
        attempt_started_at: None,
        before: before.map(state),
        after: state(after),
    }
}

fn queued(team: TeamId) -> RunMoved {
    moved(team, None, RunStatus::Queued)
}
fn taken(team: TeamId) -> RunMoved {
    moved(team, Some(RunStatus::Queued), RunStatus::Leased)
}

async fn is_woken(ticket: &Ticket) -> bool {
    tokio::time::timeout(Duration::from_millis(20), ticket.woken()).await.unwrap_or(false)
}

fn waiting(dispatch: &Dispatch, id: i64, scope: RunnerScope) -> Ticket {
    let ticket = dispatch.enter(&runner(id, scope));
    assert_eq!(ticket.found_nothing(), Next::Wait);
    ticket
}

#[tokio::test]
async fn a_run_wakes_exactly_one_poll_the_longest_waiting() {
    let dispatch = Dispatch::default();
    let first = waiting(&dispatch, 1, RunnerScope::Platform);
    let second = waiting(&dispatch, 2, RunnerScope::Platform);
    dispatch.moved(&queued(TEAM));
    assert!(is_woken(&first).await);
    assert!(!is_woken(&second).await);
    dispatch.moved(&queued(TEAM));
    assert!(is_woken(&second).await);
}

#[tokio::test]
async fn a_run_wakes_only_a_poll_that_may_take_it() {
    let dispatch = Dispatch::default();
    let foreign = waiting(&dispatch, 1, RunnerScope::Team(OTHER));
    let own = waiting(&dispatch, 2, RunnerScope::Team(TEAM));
    dispatch.moved(&queued(TEAM));
    assert!(is_woken(&own).await);
    assert!(!is_woken(&foreign).await);
}

#[tokio::test]
async fn a_run_that_becomes_ready_while_all_are_trying_is_not_missed() {
    let dispatch = Dispatch::default();
    let ticket = dispatch.enter(&runner(1, RunnerScope::Platform));
    dispatch.moved(&queued(TEAM));
    assert_eq!(ticket.found_nothing(), Next::Try, "the claim may have been before the run");
    assert_eq!(ticket.found_nothing(), Next::Wait);
}

#[tokio::test]
async fn a_poll_that_goes_away_passes_its_wake_up_on() {
    let dispatch = Dispatch::default();
    let first = waiting(&dispatch, 1, RunnerScope::Platform);
    let second = waiting(&dispatch, 2, RunnerScope::Platform);
    dispatch.moved(&queued(TEAM));
    drop(first);
    assert!(is_woken(&second).await);
    assert_eq!(dispatch.open(), 1);
}

#[tokio::test]
async fn a_fenced_poll_passes_its_wake_up_on_and_tries_again_once_the_fence_is_lifted() {
    let dispatch = Dispatch::default();
    let fenced = waiting(&dispatch, 1, RunnerScope::Platform);
    let free = waiting(&dispatch, 2, RunnerScope::Platform);
    dispatch.moved(&queued(TEAM));
    assert!(is_woken(&fenced).await);
    assert_eq!(fenced.fenced(), Next::Wait);
    assert!(is_woken(&free).await);
    dispatch.moved(&taken(TEAM));
    free.served();
    dispatch.moved(&queued(TEAM));
    assert!(!is_woken(&fenced).await, "a fence lets no wake-up through");
    dispatch.unfenced("r1");
    assert!(is_woken(&fenced).await);
}

#[tokio::test]
async fn a_newer_poll_of_a_runner_takes_the_place_of_the_older() {
    let dispatch = Dispatch::default();
    let old = waiting(&dispatch, 1, RunnerScope::Platform);
    let pass = old.pass();
    assert!(pass.is_valid());
    let new = waiting(&dispatch, 1, RunnerScope::Platform);
    assert!(!is_woken(&old).await && !pass.is_valid());
    assert_eq!(old.found_nothing(), Next::GiveUp);
    dispatch.moved(&queued(TEAM));
    assert!(is_woken(&new).await);
}

#[tokio::test]
async fn after_a_sign_off_no_poll_that_had_arrived_may_claim_but_a_new_one_may() {
    let dispatch = Dispatch::default();
    let trying = dispatch.enter(&runner(1, RunnerScope::Platform));
    let other = waiting(&dispatch, 2, RunnerScope::Platform);
    dispatch.moved(&queued(TEAM));
    assert!(is_woken(&other).await);
    dispatch.sign_off(RunnerId(1));
    assert!(!trying.pass().is_valid());
    assert_eq!(trying.found_nothing(), Next::GiveUp);
    assert!(dispatch.enter(&runner(1, RunnerScope::Platform)).pass().is_valid());
}

#[tokio::test]
async fn a_replaced_poll_that_was_woken_passes_its_wake_up_on() {
    let dispatch = Dispatch::default();
    let _first = waiting(&dispatch, 1, RunnerScope::Platform);
    let second = waiting(&dispatch, 2, RunnerScope::Platform);
    dispatch.moved(&queued(TEAM));
    dispatch.sign_off(RunnerId(1));
    assert!(is_woken(&second).await);
}

#[tokio::test]
async fn a_fence_lifted_between_the_claim_and_the_pause_is_not_missed() {
    let dispatch = Dispatch::default();
    let ticket = dispatch.enter(&runner(1, RunnerScope::Platform));
    // The claim met the fence; before its poll hears of it, the fence is lifted.
    dispatch.unfenced("r1");
    assert_eq!(ticket.fenced(), Next::Try);
    assert_eq!(ticket.fenced(), Next::Wait, "only once: this fence is another");
}

#[tokio::test]
async fn a_poll_that_took_another_run_than_the_one_it_was_woken_for_leaves_no_other_waiting_in_vain() {
    let dispatch = Dispatch::default();
    let both = waiting(&dispatch, 1, RunnerScope::Platform);
    let other = waiting(&dispatch, 2, RunnerScope::Team(OTHER));
    dispatch.moved(&queued(OTHER));
    dispatch.moved(&queued(TEAM));
    assert!(is_woken(&both).await);
    assert!(!is_woken(&other).await, "one run, one poll");
    // The other team's run is further ahead in the queue.
    dispatch.moved(&taken(TEAM));
    both.served();
    assert!(is_woken(&other).await);
}

#[tokio::test]
async fn a_poll_that_looked_too_early_for_a_run_that_another_left_looks_once_more() {
    let dispatch = Dispatch::default();
    let both = waiting(&dispatch, 1, RunnerScope::Platform);
    let other = dispatch.enter(&runner(2, RunnerScope::Team(OTHER)));
    let own = waiting(&dispatch, 3, RunnerScope::Team(TEAM));
    // Its claim found nothing; before it hears of that, two runs come, each with somebody to wake.
    dispatch.moved(&queued(OTHER));
    dispatch.moved(&queued(TEAM));
    assert!(is_woken(&both).await && is_woken(&own).await);
    dispatch.moved(&taken(TEAM));
    both.served();
    assert_eq!(own.found_nothing(), Next::Wait);
    assert_eq!(other.found_nothing(), Next::Try);
}

/// A run that was queued for later: not ready.
fn backing_off(team: TeamId) -> RunMoved {
    let mut moved = moved(team, Some(RunStatus::Running), RunStatus::Queued);
    moved.after.state = RunState::Queued { wait: Wait::Until(Timestamp(9)), first_started_at: None };
    moved
}

#[tokio::test]
async fn a_run_that_waits_for_its_retry_wakes_nobody_and_once_it_is_ready_exactly_one() {
    let dispatch = Dispatch::default();
    let first = waiting(&dispatch, 1, RunnerScope::Platform);
    let second = waiting(&dispatch, 2, RunnerScope::Platform);
    let later = backing_off(TEAM);
    dispatch.moved(&later);
    assert!(!is_woken(&first).await && !is_woken(&second).await);
    let mut ready = queued(TEAM);
    ready.before = Some(later.after);
    dispatch.moved(&ready);
    assert!(is_woken(&first).await && !is_woken(&second).await);
}

#[tokio::test]
async fn a_run_that_is_cancelled_while_it_waits_for_its_retry_is_not_counted_as_one_that_was_ready() {
    let dispatch = Dispatch::default();
    let later = backing_off(TEAM);
    dispatch.moved(&later);
    let mut cancelled = moved(TEAM, None, RunStatus::Cancelled);
    cancelled.before = Some(later.after);
    dispatch.moved(&cancelled);
    let poll = waiting(&dispatch, 1, RunnerScope::Platform);
    dispatch.moved(&queued(TEAM));
    assert!(is_woken(&poll).await);
}

fn ended(team: TeamId) -> RunMoved {
    moved(team, Some(RunStatus::Running), RunStatus::Completed)
}

fn given_back(team: TeamId) -> RunMoved {
    moved(team, Some(RunStatus::Leased), RunStatus::Queued)
}

fn elsewhere(moved: RunMoved) -> RunMoved {
    let names = CountNames { environment: "elsewhere".to_owned(), ..moved.names };
    RunMoved { names, ..moved }
}

/// A team may have so many active runs, which it has, and waiting polls are about to see more of its runs queued.
fn at_its_limit(most: i64) -> Dispatch {
    let dispatch = Dispatch::default();
    dispatch.load(&[], &HashMap::new(), &(i64::MAX, vec![(TEAM, most)]));
    for _ in 0..most {
        dispatch.moved(&queued(TEAM));
        dispatch.moved(&taken(TEAM));
    }
    dispatch
}

fn limited(dispatch: &Dispatch, most: u64) {
    let limits = Limits::new(Defaults::with_storage(None));
    let after = Arc::new(limits.allow(LimitName::ActiveRuns, Some(most)).unwrap());
    dispatch.limits_changed(&LimitsChanged { team: TEAM, before: Arc::new(limits), after });
}

#[tokio::test]
async fn runs_of_a_team_at_its_limit_wake_nobody_until_one_of_them_ends_and_then_one_each() {
    let dispatch = at_its_limit(2);
    let polls = [1, 2, 3].map(|id| waiting(&dispatch, id, RunnerScope::Platform));
    for _ in 0..5 {
        dispatch.moved(&queued(TEAM));
    }
    assert!(!is_woken(&polls[0]).await, "the team may have no more");
    dispatch.moved(&ended(TEAM));
    dispatch.moved(&ended(TEAM));
    assert!(is_woken(&polls[0]).await && is_woken(&polls[1]).await, "two have ended");
    assert!(!is_woken(&polls[2]).await, "two may begin, not three");
    dispatch.moved(&taken(TEAM));
    dispatch.moved(&taken(TEAM));
    dispatch.moved(&given_back(TEAM));
    assert!(is_woken(&polls[2]).await, "one was given back");
}

#[tokio::test]
async fn a_poll_that_cannot_take_what_a_limited_team_may_have_passes_it_on() {
    let dispatch = at_its_limit(1);
    let (first, second) =
        (waiting(&dispatch, 1, RunnerScope::Platform), waiting(&dispatch, 2, RunnerScope::Platform));
    dispatch.moved(&queued(TEAM));
    dispatch.moved(&ended(TEAM));
    assert!(is_woken(&first).await);
    drop(first);
    assert!(is_woken(&second).await);
}

#[tokio::test]
async fn an_ended_run_lets_those_of_its_team_in_every_environment_begin() {
    let dispatch = at_its_limit(1);
    let here = waiting(&dispatch, 1, RunnerScope::Platform);
    let there = {
        let ticket = dispatch.enter(&RunnerPrincipal {
            environment: "elsewhere".to_owned(),
            ..runner(2, RunnerScope::Team(TEAM))
        });
        assert_eq!(ticket.found_nothing(), Next::Wait);
        ticket
    };
    dispatch.moved(&elsewhere(queued(TEAM)));
    assert!(!is_woken(&there).await);
    dispatch.moved(&ended(TEAM));
    assert!(is_woken(&there).await, "its run may be taken");
    assert!(!is_woken(&here).await, "there is none");
}

#[tokio::test]
async fn a_higher_limit_wakes_as_many_polls_as_may_take_something() {
    let dispatch = at_its_limit(1);
    let polls = [1, 2, 3].map(|id| waiting(&dispatch, id, RunnerScope::Platform));
    for _ in 0..5 {
        dispatch.moved(&queued(TEAM));
    }
    limited(&dispatch, 3);
    assert!(is_woken(&polls[0]).await && is_woken(&polls[1]).await);
    assert!(!is_woken(&polls[2]).await);
    limited(&dispatch, 0);
    dispatch.moved(&queued(OTHER));
    assert!(is_woken(&polls[2]).await, "other teams go on");
}
