//! Each reason is said where it holds, and with a way out.

use rstest::rstest;

use super::*;
use crate::domain::moves::run_in;
use crate::domain::pools::tests::pool;

fn queued(wait: Wait) -> RunState {
    RunState::Queued { wait, first_started_at: None }
}

/// A ready run that a runner takes at once.
fn facts() -> Facts {
    Facts {
        state: queued(Wait::Nothing),
        app: "jobs".to_owned(),
        environment: "gpu".to_owned(),
        runner: None,
        position: Some(1),
        disabled: false,
        shared: None,
        waits_for: Vec::new(),
        team: Places { active: 3, max: 10 },
        no_room: None,
        runners: Runners { online: 3, busy: 2, drained: 0 },
        pools: vec![pool("p", PoolState::Ready)],
    }
}

/// Facts of an environment whose runners, and pools, stand like that.
fn beside(online: u64, busy: u64, drained: u64, pools: &[PoolState]) -> Facts {
    let pools = pools.iter().map(|state| pool("p", *state)).collect();
    Facts { runners: Runners { online, busy, drained }, pools, ..facts() }
}

fn shared(active: i64, max: i64) -> Shared {
    Shared { key: "db".to_owned(), places: Places { active, max }, holders: vec![RunId(7)] }
}

fn after() -> Vec<(After, Option<RunStatus>)> {
    vec![(After { run: RunId(4), until: Until::Completed }, Some(RunStatus::Running))]
}

#[rstest]
#[case(Facts { state: queued(Wait::After), waits_for: after(), disabled: true, ..facts() }, "after", "it waits for run 4 to complete (it is running): look")]
#[case(Facts { state: queued(Wait::Until(Timestamp(9))), ..facts() }, "backoff", "waits until its next attempt")]
#[case(Facts { state: queued(Wait::Until(Timestamp(9))), disabled: true, ..facts() }, "disabled", "the app \"jobs\" is disabled: enable it")]
#[case(Facts { state: queued(Wait::Disabled), disabled: true, ..facts() }, "disabled", "enable it")]
#[case(Facts { state: queued(Wait::Disabled), ..facts() }, "disabled", "was enabled a moment ago: it enters the queue soon")]
#[case(Facts { disabled: true, ..facts() }, "disabled", "enable it")]
#[case(Facts { state: queued(Wait::Limit), shared: Some(shared(2, 2)), ..facts() }, "limit", "2 of at most 2 runs are active under the key \"db\" (run 7): wait until one ends, or raise")]
#[case(Facts { state: queued(Wait::Limit), shared: Some(shared(1, 2)), ..facts() }, "limit", "runs that come first take the other places")]
#[case(Facts { shared: Some(shared(2, 2)), ..facts() }, "limit", "2 of at most 2")]
#[case(Facts { shared: Some(shared(1, 2)), ..facts() }, "queue", "takes it soon")]
#[case(Facts { team: Places { active: 10, max: 10 }, ..facts() }, "limit", "10 runs of your team are active, as many as its limit active_runs allows (10): wait")]
#[case(Facts { no_room: Some("the disk is full".to_owned()), ..facts() }, "no_room", "the disk is full")]
#[case(Facts { runners: Runners::default(), ..facts() }, "no_runner", "no runner is online in the environment \"gpu\": start one")]
#[case(Facts { runners: Runners { online: 1, busy: 0, drained: 1 }, ..facts() }, "drained", "the only online runner is drained in the environment \"gpu\": undrain one")]
#[case(Facts { runners: Runners { online: 2, busy: 2, drained: 0 }, position: Some(3), ..facts() }, "busy", "all 2 runners are busy in the environment \"gpu\", and 2 runs of your team come before it there: wait")]
#[case(Facts { runners: Runners { online: 2, busy: 1, drained: 1 }, ..facts() }, "busy", "the only runner is busy")]
#[case(
    facts(),
    "queue",
    "a runner of the environment \"gpu\" takes it soon, and it is the first of your team's runs there"
)]
fn the_first_reason_that_holds_is_said(#[case] facts: Facts, #[case] word: &str, #[case] message: &str) {
    let said = explain(&facts);
    assert_eq!(said.reason.as_str(), word, "{said:?}");
    assert!(said.message.contains(message), "{said:?}");
    assert!(Reason::WORDS.contains(&word));
    assert_eq!(said.until, facts.state.not_before());
    assert_eq!(said.limit.is_some(), word == "limit");
    assert!(said.position.is_none() || facts.state.is_ready());
}

#[rstest]
#[case::starting_the_first(beside(0, 0, 0, &[PoolState::Growing]), "pool_growing", "no runner is online in the environment \"gpu\", and the pool tower/p is starting one")]
#[case::starting_another(beside(1, 1, 0, &[PoolState::AtMaximum, PoolState::Growing]), "pool_growing", "the only runner is busy in the environment \"gpu\", and the pool tower/p is starting")]
#[case::in_place_of_the_drained(beside(1, 0, 1, &[PoolState::Growing]), "pool_growing", "the only online runner is drained in")]
#[case::broken(beside(0, 0, 0, &[PoolState::Broken]), "pool_broken", "no runner is online in the environment \"gpu\", and the pool tower/p cannot start any: p in the operator's words")]
#[case::broken_with_work(beside(2, 2, 0, &[PoolState::AtMaximum, PoolState::Broken]), "pool_broken", "all 2 runners are busy")]
#[case::at_its_maximum(beside(2, 2, 0, &[PoolState::Ready, PoolState::AtMaximum]), "pool_at_maximum", "at its maximum of 2 (p in the operator's words): wait")]
#[case::a_maximum_of_none(beside(0, 0, 0, &[PoolState::AtMaximum]), "pool_at_maximum", "no runner is online")]
#[case::paused(beside(0, 0, 0, &[PoolState::Paused]), "pool_paused", "have its spec.paused removed")]
#[case::drained_by_somebody(beside(2, 0, 2, &[PoolState::Broken]), "drained", "undrain one")]
#[case::well(beside(2, 2, 0, &[PoolState::Ready]), "busy", "wait until one is done")]
#[case::somebody_is_free(beside(2, 1, 0, &[PoolState::Broken]), "queue", "takes it soon")]
#[case::held_by_its_team(Facts { team: Places { active: 10, max: 10 }, ..beside(0, 0, 0, &[PoolState::Broken]) }, "limit", "active_runs")]
fn a_pool_is_the_reason_where_it_decides(#[case] facts: Facts, #[case] word: &str, #[case] message: &str) {
    let said = explain(&facts);
    assert_eq!(said.reason.as_str(), word, "{said:?}");
    assert!(said.message.contains(message), "{said:?}");
    assert!(Reason::WORDS.contains(&word));
}

#[test]
fn of_what_is_not_queued_the_status_is_the_reason() {
    for status in RunStatus::ALL.into_iter().filter(|status| *status != RunStatus::Queued) {
        let facts = Facts { state: run_in(status), runner: Some("r1".to_owned()), ..facts() };
        let said = explain(&facts);
        assert_eq!((said.reason.as_str(), said.position), (status.as_str(), None));
        assert!(!status.is_active() || said.message.contains("r1"), "{said:?}");
    }
}
