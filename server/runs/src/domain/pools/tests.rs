//! Whom a pool serves, and which of several decides.

use rstest::rstest;

use super::*;

/// A pool for everybody's runs in `gpu`.
pub(crate) fn pool(name: &str, state: PoolState) -> Pool {
    Pool {
        name: format!("tower/{name}"),
        environment: "gpu".to_owned(),
        team: None,
        standing: Standing {
            state,
            min: 0,
            max: 2,
            desired: 2,
            ready: 1,
            message: format!("{name} in the operator's words"),
        },
    }
}

#[rstest]
#[case::everybodys(None, Some("acme"), "gpu", true)]
#[case::in_another_environment(None, Some("acme"), "cpu", false)]
#[case::the_teams(Some("acme"), Some("acme"), "gpu", true)]
#[case::another_teams(Some("acme"), Some("zeta"), "gpu", false)]
#[case::a_teams_for_none(Some("acme"), None, "gpu", false)]
fn a_pool_serves_its_environment_and_its_team(
    #[case] of: Option<&str>,
    #[case] team: Option<&str>,
    #[case] environment: &str,
    #[case] expected: bool,
) {
    let pool = Pool { team: of.map(str::to_owned), ..pool("p", PoolState::Ready) };
    assert_eq!(pool.serves(team, environment), expected);
}

#[test]
fn a_runner_that_comes_is_told_before_what_is_wrong_and_a_pool_that_is_well_decides_nothing() {
    let all = PoolState::ALL.map(|state| pool(state.as_str(), state));
    let mut left = all.to_vec();
    let mut order = Vec::new();
    while let Some(first) = deciding(&left).map(|pool| pool.standing.state) {
        order.push(first.as_str());
        left.retain(|pool| pool.standing.state != first);
    }
    assert_eq!(order, ["growing", "broken", "at_maximum", "paused"]);
    assert_eq!(left, [pool("ready", PoolState::Ready)]);
}

#[rstest]
#[case(PoolState::Growing, "(1 of 2 are online)")]
#[case(PoolState::Broken, "p in the operator's words; see `kubectl -n tower describe runnerpool p`")]
#[case(PoolState::AtMaximum, "at its maximum of 2 (p in the operator's words): wait")]
#[case(PoolState::Paused, "spec.paused")]
#[case(PoolState::Ready, "p in the operator's words")]
fn what_is_told_names_the_pool_and_the_way_out(#[case] state: PoolState, #[case] words: &str) {
    let told = pool("p", state).told();
    assert!(told.contains("the pool tower/p ") && told.contains(words), "{told}");
}
