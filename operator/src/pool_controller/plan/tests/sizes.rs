//! How many runners there should be.

use rstest::rstest;

use super::*;

/// A plan for a pool that has had its size for long, an hour after the start.
fn plan_for(demand: Demand, pods: Vec<Pod>, policy: &Policy) -> Plan {
    let size = count(pods.iter());
    let observed = observed(demand, vec![revision(CURRENT, pods)]);
    plan(&observed, policy, &settled(size), seconds(3600))
}

#[rstest]
#[case::nothing(0, 0, 0, 0)]
#[case::one_run(1, 0, 0, 1)]
#[case::busy_runners_count(3, 4, 0, 7)]
#[case::up_to_the_maximum(50, 0, 0, 10)]
#[case::idle_ones_on_top(0, 2, 3, 5)]
fn the_size_is_busy_and_pending_and_idle_within_the_bounds(
    #[case] pending: u64,
    #[case] busy_now: usize,
    #[case] min_idle: u32,
    #[case] target: u32,
) {
    let policy = Policy { min_idle, ..policy() };
    assert_eq!(plan_for(known(pending), busies("b", busy_now), &policy).target, target);
}

#[rstest]
#[case(9, 4, 3)]
#[case(8, 4, 2)]
#[case(1, 1000, 1)]
fn several_runs_may_share_a_runner(#[case] pending: u64, #[case] runs_per_runner: u32, #[case] target: u32) {
    let policy = Policy { runs_per_runner, ..policy() };
    assert_eq!(plan_for(known(pending), Vec::new(), &policy).target, target);
}

#[test]
fn a_number_of_runs_beyond_all_measure_is_the_maximum() {
    let plan = plan_for(known(u64::MAX), Vec::new(), &policy());
    assert_eq!((plan.target, plan.limit), (10, Some(Limit::Max { wanted: u32::MAX })));
}

#[test]
fn a_decision_says_why_in_a_sentence() {
    let plan = plan_for(known(12), busies("b", 2), &Policy { min_idle: 1, ..policy() });
    let decision = plan.decision.unwrap();
    assert_eq!((decision.from, decision.to), (2, 10));
    assert_eq!(
        decision.reason.to_string(),
        "12 runs wait, 2 runners are busy, 1 kept idle: 15 wanted, held by maxRunners 10"
    );
}

#[test]
fn it_shrinks_to_the_highest_wish_of_the_window_and_no_further() {
    let mut memory = settled(6);
    let pods = idles("i", 6);
    let at = |memory: &mut Memory, second: u64, pending: u64| {
        let observed = observed(known(pending), vec![revision(CURRENT, pods.clone())]);
        let plan = plan(&observed, &policy(), memory, seconds(second));
        *memory = plan.memory;
        plan.target
    };
    for second in 1..=40 {
        assert_eq!(at(&mut memory, second, 6), 6);
    }
    // From here on two are wanted; six were wanted until second 41.
    for second in 41..=100 {
        assert_eq!(at(&mut memory, second, 2), 6, "at {second}");
    }
    assert_eq!(at(&mut memory, 102, 2), 2);
}

#[test]
fn without_a_window_it_shrinks_at_once() {
    let policy = Policy { down: Damping::default(), ..policy() };
    assert_eq!(plan_for(known(1), idles("i", 6), &policy).target, 1);
}

#[test]
fn it_grows_only_to_the_lowest_wish_of_the_window_when_it_is_told_so() {
    let policy = Policy { up: Damping { stabilization: seconds(10), max_step: None }, ..policy() };
    let mut memory = settled(0);
    let at = |memory: &mut Memory, second: u64, pending: u64| {
        let plan = plan(&observed(known(pending), Vec::new()), &policy, memory, seconds(second));
        *memory = plan.memory;
        plan.target
    };
    assert_eq!(at(&mut memory, 100, 5), 0, "nothing was wanted until now");
    assert_eq!(at(&mut memory, 105, 7), 0);
    assert_eq!(at(&mut memory, 111, 9), 5, "five were wanted all the time");
}

#[test]
fn a_step_has_its_bound_and_its_time() {
    let limited = Damping { stabilization: Duration::ZERO, max_step: Some(2) };
    let policy = Policy { up: limited, down: limited, ..policy() };
    let mut memory = settled(0);
    let mut targets = Vec::new();
    // Four looks a second: steps are made once a second all the same.
    for quarter in 0..16 {
        let pending = if quarter < 8 { 9 } else { 0 };
        let now = seconds(100) + Duration::from_millis(250) * quarter;
        let plan = plan(&observed(known(pending), Vec::new()), &policy, &memory, now);
        memory = plan.memory;
        targets.push(plan.target);
    }
    assert_eq!(targets, [2, 2, 2, 2, 4, 4, 4, 4, 2, 2, 2, 2, 0, 0, 0, 0]);
}

#[test]
fn stale_demand_grows_the_pool_and_never_shrinks_it() {
    let policy = Policy { down: Damping::default(), ..policy() };
    assert_eq!(plan_for(Demand::Stale { pending: 4 }, idles("i", 2), &policy).target, 4);
    assert_eq!(plan_for(Demand::Stale { pending: 0 }, idles("i", 2), &policy).target, 2);
}

#[test]
fn old_numbers_are_no_evidence_that_less_is_wanted() {
    let mut memory = settled(5);
    let pods = idles("i", 5);
    for second in 3600..3650 {
        let observed = observed(Demand::Stale { pending: 0 }, vec![revision(CURRENT, pods.clone())]);
        memory = plan(&observed, &policy(), &memory, seconds(second)).memory;
    }
    let observed = observed(known(0), vec![revision(CURRENT, pods)]);
    assert_eq!(plan(&observed, &policy(), &memory, seconds(3651)).target, 5, "the window begins now");
}

#[rstest]
#[case::as_it_is(3, 0, 10, 3)]
#[case::up_to_a_new_minimum(3, 5, 10, 5)]
#[case::down_to_a_new_maximum(3, 0, 2, 2)]
fn unknown_demand_changes_nothing_but_the_bounds(
    #[case] size: usize,
    #[case] min: u32,
    #[case] max: u32,
    #[case] target: u32,
) {
    let policy = Policy { min, max, ..policy() };
    let plan = plan_for(Demand::Unknown, idles("i", size), &policy);
    assert_eq!(plan.target, target);
    assert_eq!(plan.decision.is_some(), size != target as usize);
}

#[test]
fn a_fixed_size_sets_bounds_and_demand_aside_and_leaves_a_window_behind() {
    let fixed = Policy { replicas: Some(12), min: 1, max: 5, min_idle: 2, ..policy() };
    let first = plan_for(known(0), idles("i", 3), &fixed);
    assert_eq!((first.target, first.limit), (12, None));
    let free = Policy { replicas: None, max: 20, ..fixed };
    let observed = observed(known(0), vec![revision(CURRENT, idles("i", 12))]);
    let next = plan(&observed, &free, &first.memory, seconds(3601));
    assert_eq!(next.target, 12, "as if so many had been wanted until now");
    assert_eq!(plan(&observed, &free, &next.memory, seconds(3662)).target, 2);
}

#[test]
fn a_paused_pool_decides_nothing_and_does_nothing() {
    let policy = Policy { paused: true, replicas: Some(7), ..policy() };
    let plan = plan_for(known(9), idles("i", 3), &policy);
    assert_eq!((plan.target, plan.decision, plan.actions), (3, None, Vec::new()));
}

#[test]
fn a_new_leader_shrinks_nothing_before_a_whole_window_has_passed() {
    let observed = observed(known(0), vec![revision(CURRENT, idles("i", 4))]);
    let first = plan(&observed, &policy(), &Memory::default(), seconds(1000));
    assert_eq!((first.target, first.decision), (4, None));
    let late = plan(&observed, &policy(), &first.memory, seconds(1060));
    assert_eq!(late.target, 4);
    assert_eq!(plan(&observed, &policy(), &late.memory, seconds(1062)).target, 0);
}

#[test]
fn the_first_look_at_a_pool_grows_it_at_once() {
    let plan = plan(&observed(known(3), Vec::new()), &policy(), &Memory::default(), seconds(1000));
    assert_eq!((plan.target, plan.actions), (3, vec![Action::Create { replicas: 3 }]));
}

#[test]
fn the_memory_does_not_grow_with_time() {
    let mut memory = settled(3);
    for second in 0..10_000 {
        let observed = observed(known(second % 2), vec![revision(CURRENT, idles("i", 3))]);
        memory = plan(&observed, &policy(), &memory, seconds(3600 + second)).memory;
    }
    assert!(memory.wishes.len() < 70, "{}", memory.wishes.len());
}

#[test]
fn a_pod_whose_name_a_stranger_has_is_not_fenced_and_keeps_no_other_from_going() {
    let taken = Pod { name_taken: true, ..absent("a") };
    let pods = vec![taken, idle("b", 5), idle("c", 7)];
    let found = observed(known(0), vec![revision(CURRENT, pods)]);
    let policy = Policy { replicas: Some(1), ..policy() };
    let plan = plan(&found, &policy, &settled(3), seconds(100));
    assert_eq!(candidates(&plan), [("b", false), ("c", false)]);
    let policy = Policy { replicas: Some(0), ..policy };
    let plan = super::plan(&found, &policy, &settled(3), seconds(100));
    assert_eq!(candidates(&plan), [("b", false), ("c", false)]);
}
