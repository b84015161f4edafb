//! Which revision grows, and which pods may go.

use super::*;

fn plan_of(observed: &Observed, policy: &Policy, size: u32) -> Plan {
    plan(observed, policy, &settled(size), seconds(3600))
}

fn fixed(replicas: u32) -> Policy {
    Policy { replicas: Some(replicas), ..policy() }
}

#[test]
fn the_first_deployment_is_made_with_its_size() {
    let plan = plan_of(&observed(known(3), Vec::new()), &policy(), 0);
    assert_eq!(plan.actions, [Action::Create { replicas: 3 }]);
}

#[test]
fn an_idle_pool_has_its_deployment_too() {
    let plan = plan_of(&observed(known(0), Vec::new()), &policy(), 0);
    assert_eq!(plan.actions, [Action::Create { replicas: 0 }]);
}

#[test]
fn what_does_not_serve_yet_goes_first_and_then_what_has_been_idle_longest() {
    let pods = vec![idle("young", 90), busy("worker", 1), absent("fresh"), idle("old", 10), idle("older", 5)];
    let observed = observed(known(0), vec![revision(CURRENT, pods)]);
    let plan = plan_of(&observed, &fixed(2), 5);
    assert_eq!(candidates(&plan), [("fresh", false), ("older", false), ("old", false)]);
}

#[test]
fn busy_pods_lose_only_their_place_for_the_next_run_and_only_when_there_is_no_other() {
    let pods = vec![busy("a", 30), idle("b", 50), busy("c", 10), busy("d", 20)];
    let observed = observed(known(0), vec![revision(CURRENT, pods)]);
    let plan = plan_of(&observed, &fixed(2), 4);
    assert_eq!(candidates(&plan), [("b", false), ("c", true)]);
}

#[test]
fn a_busy_pod_that_is_fenced_is_waited_for_and_not_asked_again() {
    let mut ending = busy("a", 10);
    ending.draining = true;
    let observed = observed(known(0), vec![revision(CURRENT, vec![ending, busy("b", 5)])]);
    let mut memory = settled(2);
    memory.fenced.insert("a".to_owned(), Fence::Held);
    let plan = plan(&observed, &fixed(1), &memory, seconds(3600));
    assert_eq!(plan.actions, []);
}

#[test]
fn a_pool_does_not_shrink_below_its_busy_runners() {
    let mut pods = busies("b", 4);
    pods.extend(idles("i", 4));
    let observed = observed(known(0), vec![revision(CURRENT, pods)]);
    let plan = plan_of(&observed, &Policy { down: Damping::default(), ..policy() }, 8);
    assert_eq!(plan.target, 4);
    assert!(candidates(&plan).iter().all(|(name, keep)| name.starts_with('i') && !keep));
}

#[test]
fn a_new_template_grows_beside_the_old_one_and_takes_nothing_before_it_serves() {
    let observed = observed(known(3), vec![revision(FORMER, idles("o", 3))]);
    let plan = plan_of(&observed, &policy(), 3);
    assert_eq!(plan.actions, [Action::Create { replicas: 3 }]);
}

#[test]
fn the_old_ones_go_one_for_one_as_new_ones_serve() {
    let new = vec![idle("n0", 0), absent("n1"), absent("n2")];
    let observed = observed(known(3), vec![revision(CURRENT, new), revision(FORMER, idles("o", 3))]);
    assert_eq!(candidates(&plan_of(&observed, &policy(), 3)), [("o0", false)]);
}

#[test]
fn busy_old_ones_take_no_further_run_once_the_new_ones_serve() {
    let revisions = vec![revision(CURRENT, idles("n", 2)), revision(FORMER, busies("o", 2))];
    let plan = plan_of(&observed(known(0), revisions), &policy(), 2);
    assert_eq!(candidates(&plan), [("o0", true), ("o1", true)]);
}

#[test]
fn a_template_whose_pods_never_serve_empties_nothing() {
    let new = vec![absent("n0"), absent("n1"), absent("n2")];
    let observed = observed(known(3), vec![revision(CURRENT, new), revision(FORMER, idles("o", 3))]);
    assert_eq!(plan_of(&observed, &policy(), 3).actions, []);
}

/// What was observed of a template that is known not to serve.
fn ailing(pending: u64, revisions: Vec<Revision>) -> Observed {
    Observed { ailing: true, ..observed(known(pending), revisions) }
}

fn grown(from: u32, to: u32) -> Action {
    Action::Grow { revision: FORMER.to_owned(), from, to }
}

#[test]
fn the_former_revision_grows_while_the_current_template_does_not_serve() {
    let revisions = vec![revision(CURRENT, vec![absent("n0")]), revision(FORMER, busies("o", 2))];
    let plan = plan_of(&ailing(3, revisions), &policy(), 2);
    assert_eq!(plan.actions, [grown(2, 5)]);
}

#[test]
fn a_template_that_does_not_serve_keeps_one_pod_to_show_when_it_does() {
    let new = vec![absent("n0"), absent("n1"), absent("n2")];
    let revisions = vec![revision(CURRENT, new), revision(FORMER, busies("o", 2))];
    let plan = plan_of(&ailing(1, revisions), &policy(), 3);
    assert_eq!(plan.actions[0], grown(2, 3));
    assert_eq!(candidates(&plan), [("n0", false), ("n1", false)]);
}

#[test]
fn both_together_stay_within_the_maximum() {
    let first = ailing(50, vec![revision(FORMER, busies("o", 10))]);
    let plan = plan_of(&first, &policy(), 10);
    assert_eq!((candidates(&plan), &plan.actions[0]), (vec![("o0", true)], &Action::Create { replicas: 0 }));
    let then = ailing(50, vec![revision(FORMER, busies("o", 8))]);
    assert_eq!(plan_of(&then, &policy(), 10).actions, [Action::Create { replicas: 1 }, grown(8, 9)]);
}

#[test]
fn nothing_grows_in_place_of_a_template_that_nothing_was_before() {
    let observed = ailing(3, vec![revision(CURRENT, vec![absent("n0")])]);
    let grown = [Action::Grow { revision: CURRENT.to_owned(), from: 1, to: 3 }];
    assert_eq!(plan_of(&observed, &policy(), 1).actions, grown);
}

#[test]
fn a_mended_template_replaces_at_once_what_never_served() {
    let broken = vec![absent("b0"), absent("b1"), absent("b2")];
    let mut stuck = revision("stuck", Vec::new());
    (stuck.replicas, stuck.stuck) = (4, true);
    let observed = observed(known(9), vec![revision(FORMER, broken), stuck]);
    let plan = plan_of(&observed, &Policy { max: 7, ..policy() }, 7);
    assert_eq!(candidates(&plan), [("b0", false), ("b1", false), ("b2", false)]);
    let forgone = Action::Forgo { revision: "stuck".to_owned(), from: 4, to: 0 };
    assert!(plan.actions.contains(&forgone), "{plan:?}");
}

#[test]
fn a_former_runner_that_is_offline_for_a_moment_is_not_one_that_never_served() {
    let mut restarting = absent("o0");
    restarting.registered = true;
    let observed =
        observed(known(1), vec![revision(CURRENT, vec![absent("n0")]), revision(FORMER, vec![restarting])]);
    assert_eq!(candidates(&plan_of(&observed, &policy(), 1)), []);
}

#[test]
fn all_revisions_together_stay_within_the_maximum() {
    let observed = observed(known(50), vec![revision(FORMER, busies("o", 8))]);
    let plan = plan_of(&observed, &policy(), 10);
    assert_eq!(plan.actions, [Action::Create { replicas: 2 }]);
}

#[test]
fn a_full_pool_makes_room_for_one_new_pod_and_then_waits_for_it() {
    let full = observed(known(50), vec![revision(FORMER, busies("o", 10))]);
    let first = plan_of(&full, &policy(), 10);
    assert_eq!(first.actions[0], Action::Create { replicas: 0 });
    assert_eq!(candidates(&first), [("o0", true)]);

    let made = vec![revision(CURRENT, vec![absent("n0")]), revision(FORMER, busies("o", 9))];
    assert_eq!(candidates(&plan_of(&observed(known(50), made), &policy(), 10)), []);
}

#[test]
fn a_former_deployment_without_pods_is_removed() {
    let observed = observed(known(1), vec![revision(CURRENT, idles("n", 1)), revision(FORMER, Vec::new())]);
    let expected = [Action::Remove { revision: FORMER.to_owned() }];
    assert_eq!(plan_of(&observed, &policy(), 1).actions, expected);
}

#[test]
fn nothing_is_decided_on_what_is_older_than_the_last_write() {
    let mut current = revision(CURRENT, idles("n", 1));
    current.settling = true;
    let mut memory = settled(1);
    memory.fenced.insert("not-seen-yet".to_owned(), Fence::Held);
    let plan = plan(&observed(known(9), vec![current]), &policy(), &memory, seconds(3600));
    assert_eq!((plan.target, plan.actions), (9, Vec::new()));
    assert_eq!(plan.memory.fenced, memory.fenced);
}

#[test]
fn a_mark_that_was_not_followed_by_a_shrink_is_used_or_taken_back() {
    let mut marked = idle("a", 0);
    (marked.marked, marked.draining) = (true, true);
    let revisions = vec![revision(CURRENT, vec![idle("b", 0), marked])];
    let wanted = observed(known(2), revisions.clone());
    let spared = [Action::Spare { pod: "a".to_owned(), marked: true }];
    assert_eq!(plan_of(&wanted, &policy(), 2).actions, spared);
    let surplus = observed(known(0), revisions);
    assert_eq!(candidates(&plan_of(&surplus, &fixed(1), 2)), [("a", false)]);
}

#[test]
fn a_marked_pod_that_the_replicaset_controller_is_about_to_take_is_left_alone() {
    let mut marked = idle("a", 0);
    (marked.marked, marked.draining) = (true, true);
    let mut current = revision(CURRENT, vec![idle("b", 0), marked]);
    current.replicas = 1;
    assert_eq!(plan_of(&observed(known(1), vec![current]), &policy(), 1).actions, []);
}

#[test]
fn a_fence_that_a_former_leader_left_is_lifted_once_and_then_let_be_for_a_while() {
    let mut drained = idle("a", 0);
    drained.draining = true;
    let observed = observed(known(0), vec![revision(CURRENT, vec![drained])]);
    let spared = [Action::Spare { pod: "a".to_owned(), marked: false }];
    assert_eq!(plan_of(&observed, &policy(), 1).actions, spared);
    let mut memory = settled(1);
    memory.fenced.insert("a".to_owned(), Fence::Lifted(seconds(3600)));
    assert_eq!(plan(&observed, &policy(), &memory, seconds(3610)).actions, []);
    assert_eq!(plan(&observed, &policy(), &memory, seconds(3661)).actions, spared);
}

#[test]
fn a_runner_that_a_person_has_drained_is_no_capacity() {
    let mut drained = idle("a", 0);
    drained.draining = true;
    let observed = observed(known(1), vec![revision(CURRENT, vec![drained])]);
    let mut memory = settled(1);
    memory.fenced.insert("a".to_owned(), Fence::Lifted(seconds(3590)));
    let plan = plan(&observed, &policy(), &memory, seconds(3600));
    assert_eq!(plan.actions, [Action::Grow { revision: CURRENT.to_owned(), from: 1, to: 2 }]);
    let reason = plan.decision.unwrap().reason.to_string();
    assert_eq!(reason, "1 run waits, 0 runners are busy, 1 drained by somebody: 2 wanted");
}

#[test]
fn a_busy_pod_that_carries_a_mark_is_asked_first() {
    let mut marked = busy("a", 0);
    marked.marked = true;
    let pods = vec![idle("b", 0), marked, idle("c", 0)];
    let observed = observed(known(0), vec![revision(CURRENT, pods)]);
    assert_eq!(candidates(&plan_of(&observed, &fixed(2), 3)), [("a", true)]);
}

#[test]
fn a_deployment_that_somebody_made_smaller_gets_its_size_back() {
    let mut current = revision(CURRENT, busies("b", 4));
    current.replicas = 1;
    let grown = [Action::Grow { revision: CURRENT.to_owned(), from: 1, to: 4 }];
    assert_eq!(plan_of(&observed(known(0), vec![current]), &policy(), 4).actions, grown);
}

#[test]
fn pods_that_somebodys_rollout_added_are_yielded_when_they_are_idle() {
    let mut pods = busies("b", 3);
    pods.push(absent("surge"));
    let mut current = revision(CURRENT, pods);
    current.replicas = 3;
    let plan = plan_of(&observed(known(0), vec![current]), &policy(), 3);
    assert_eq!(candidates(&plan), [("surge", false)]);
    assert!(matches!(plan.actions[..], [Action::Yield { .. }]));
}

#[test]
fn pods_that_a_quota_forbids_are_forgone_before_any_that_lives() {
    let mut current = revision(CURRENT, busies("b", 2));
    (current.replicas, current.stuck) = (6, true);
    let plan = plan_of(&observed(known(0), vec![current]), &fixed(3), 6);
    assert_eq!(plan.actions, [Action::Forgo { revision: CURRENT.to_owned(), from: 6, to: 3 }]);
}

#[test]
fn the_fence_of_a_pod_that_is_gone_is_lifted_and_forgotten() {
    let mut memory = settled(0);
    memory.fenced.insert("gone".to_owned(), Fence::Held);
    memory.fenced.insert("leaving".to_owned(), Fence::Held);
    let mut observed = observed(known(0), vec![revision(CURRENT, Vec::new())]);
    observed.leaving.insert("leaving".to_owned(), Leaving::Closed);
    let plan = plan(&observed, &policy(), &memory, seconds(3600));
    assert_eq!(plan.actions, [Action::Unfence { pod: "gone".to_owned() }]);
    // It is remembered until that has been done.
    assert_eq!(plan.memory.fenced.keys().collect::<Vec<_>>(), ["gone", "leaving"]);
}

fn fence(runners: &[&str]) -> Action {
    Action::Fence { runners: runners.iter().map(|name| (*name).to_owned()).collect() }
}

#[test]
fn what_leaves_is_fenced_before_anything_else_whatever_the_pool_does() {
    let leaving = [
        ("closed", Leaving::Closed),
        ("held", Leaving::Unheard),
        ("open", Leaving::Open),
        ("unheard", Leaving::Unheard),
    ];
    let mut memory = settled(1);
    memory.fenced.insert("held".to_owned(), Fence::Held);
    let mut observed = observed(known(4), vec![revision(CURRENT, idles("n", 1))]);
    observed.leaving = leaving.map(|(name, way)| (name.to_owned(), way)).into();
    let first = |observed: &Observed, policy: &Policy| {
        plan(observed, policy, &memory, seconds(3600)).actions.into_iter().next()
    };
    let expected = Some(fence(&["open", "unheard"]));
    assert_eq!(first(&observed, &policy()), expected);
    assert_eq!(first(&observed, &Policy { paused: true, ..policy() }), expected);
    observed.revisions[0].settling = true;
    assert_eq!(first(&observed, &policy()), expected, "also while the last write is not seen yet");
}

#[test]
fn no_more_pods_of_a_revision_are_retired_than_it_asks_for() {
    let mut older = revision("older", vec![absent("a"), absent("b"), absent("c")]);
    // One of its pods is on its way out already, whatever the plan says.
    older.replicas = 2;
    let revisions = vec![revision(CURRENT, idles("new", 3)), older, revision(FORMER, vec![idle("d", 1)])];
    let plan =
        plan(&observed(known(0), revisions), &Policy { min: 3, ..policy() }, &settled(3), seconds(100));
    for action in &plan.actions {
        if let Action::Retire { from, candidates, .. } = action {
            assert!(candidates.len() <= *from as usize, "{action:?}");
        }
    }
    assert!(
        candidates(&plan).iter().any(|(pod, _)| *pod == "d"),
        "the other revision gives its pod: {plan:?}"
    );
}
