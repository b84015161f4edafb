//! Which revision grows, and which pods may go.
//!
//! The current revision takes over from the former ones pod by pod. It grows as far as the pool's maximum allows, and only as many former
//! pods go as it has runners that serve. So a template whose pods never serve never empties a pool, and no run is ever interrupted: a busy
//! pod loses at most its place for the next run. While a template is known not to serve, it keeps one pod that shows when it does, and the
//! former revision grows in its place. Former pods that have never served go at once.

use std::cmp::Reverse;
use std::collections::BTreeSet;
use std::time::Duration;

use super::model::{
    Action, Candidate, Elapsed, Fence, Memory, Observed, Pod, Policy, Revision, Runner, count,
};

/// How long a fence that is not this controller's is left alone before the controller tries once more to lift its own.
pub const LIFT_AGAIN: Duration = Duration::from_secs(60);

/// Without the admission policy: how long after its mark, and after the last shrink, a marked pod is not spared. The ReplicaSet controller
/// may already have chosen it, whatever its ReplicaSet asks for now, and nothing would stop it from deleting a pod that works again.
pub const CHOSEN: Duration = Duration::from_secs(15);

/// The actions that bring the Deployments to `target`.
pub(super) fn actions(
    observed: &Observed,
    policy: &Policy,
    target: u32,
    memory: &Memory,
    now: Elapsed,
) -> Vec<Action> {
    let (current, former): (Vec<&Revision>, Vec<&Revision>) =
        observed.revisions.iter().partition(|revision| revision.hash == observed.revision);
    let current = current.first().copied();
    // The bounds apply to the sum of all revisions. While one of them is not seen as it is, the sum is unknown.
    if observed.revisions.iter().any(|revision| revision.settling) {
        return Vec::new();
    }
    let mut actions = Vec::new();
    let mut going = BTreeSet::new();
    if !policy.paused {
        let sizes = Sizes::of(observed, policy, current, &former, target);
        actions.extend(growth(current, &sizes));
        actions.extend(former_growth(&former, &sizes));
        let mut retired = Vec::new();
        if let Some(current) = current {
            retired.extend(retire(&[current], sizes.leave_current, memory, &mut going));
        }
        retired.extend(retire(&former, sizes.leave_former, memory, &mut going));
        if !observed.guarded {
            retired.retain(|action| is_predictable(observed, action));
        }
        actions.extend(retired);
        for revision in &observed.revisions {
            actions.extend(yielded(revision, &actions, &mut going));
        }
        let empty = |revision: &&&Revision| revision.replicas == 0 && revision.pods.is_empty();
        actions
            .extend(former.iter().filter(empty).map(|empty| Action::Remove { revision: empty.hash.clone() }));
    }
    let retires = actions.iter().any(|action| matches!(action, Action::Retire { .. }));
    let calm = observed.guarded || !(retires || memory.retired.is_some_and(|at| now < at + CHOSEN));
    actions.extend(spared(observed, memory, &going, calm, now));
    actions
}

/// How much each side grows or shrinks.
struct Sizes {
    /// The size that the current revision grows to.
    grow_current: u32,
    /// How many pods the current revision loses.
    leave_current: u32,
    /// How many pods the former revisions lose.
    leave_former: u32,
    /// How many pods a former revision gets, because the current template does not serve.
    grow_former: u32,
}

impl Sizes {
    fn of(
        observed: &Observed,
        policy: &Policy,
        current: Option<&Revision>,
        former: &[&Revision],
        target: u32,
    ) -> Self {
        let size = current.map_or(0, |revision| revision.replicas);
        let former_size: u32 = former.iter().map(|revision| revision.replicas).sum();
        let former_pods = || former.iter().flat_map(|revision| &revision.pods);
        // A fenced former pod needs no replacement before its run has ended: the target counts it as busy until then.
        let ending = count(former_pods().filter(|pod| pod.draining && pod.runner.is_busy()));
        let wanted = target.saturating_sub(ending.min(former_size));
        // A fixed size is a bound; the demand's size is not.
        let most = policy.replicas.unwrap_or(policy.max.max(target));
        let room = most.saturating_sub(former_size);
        let serving = current.map_or(0, |revision| count(revision.pods.iter().filter(|pod| pod.serves())));
        if observed.ailing && serving == 0 && former_pods().any(|pod| pod.serves() || pod.runner.is_busy()) {
            return Self::in_its_place(size, former_size, target, most);
        }
        let grow_current = wanted.min(room).max(size);
        // Those that are about to be taken have left already.
        let useless =
            count(former.iter().flat_map(|revision| staying(revision)).filter(|pod| pod.is_useless()));
        let missing = |revision: &&&Revision| revision.stuck;
        let missing: u32 = former
            .iter()
            .filter(missing)
            .map(|revision| revision.replicas.saturating_sub(count(revision.pods.iter())))
            .sum();
        let mut leave_former =
            former_size.saturating_sub(target.saturating_sub(serving)).max(useless + missing);
        // There is no room for the next pod of the current revision: a former pod makes room, unless one that did so is still on its way out.
        let blocked = size < target && room <= size && former_size > 0;
        if blocked && leave_former == 0 && serving >= size {
            leave_former = 1;
        }
        debug_assert!(observed.size() == size + former_size);
        Self { grow_current, leave_current: size.saturating_sub(target), leave_former, grow_former: 0 }
    }

    /// While the current template does not serve: it keeps one pod, and the former revisions are what the target asks for.
    fn in_its_place(size: u32, former_size: u32, target: u32, most: u32) -> Self {
        let probe = target.min(1);
        let room = most.saturating_sub(former_size);
        let grow_current = probe.min(room).max(size);
        let has_no_place = size < probe && room == 0;
        let wanted = target.min(most.saturating_sub(grow_current));
        Self {
            grow_current,
            leave_current: size.saturating_sub(probe),
            leave_former: former_size.saturating_sub(target).max(u32::from(has_no_place)),
            grow_former: if has_no_place { 0 } else { wanted.saturating_sub(former_size) },
        }
    }
}

fn growth(current: Option<&Revision>, sizes: &Sizes) -> Option<Action> {
    match current {
        None => Some(Action::Create { replicas: sizes.grow_current }),
        Some(current) if sizes.grow_current > current.replicas => Some(Action::Grow {
            revision: current.hash.clone(),
            from: current.replicas,
            to: sizes.grow_current,
        }),
        Some(_) => None,
    }
}

/// The former revision that serves best grows in place of the current one.
fn former_growth(former: &[&Revision], sizes: &Sizes) -> Option<Action> {
    if sizes.grow_former == 0 {
        return None;
    }
    let serving =
        |revision: &Revision| count(revision.pods.iter().filter(|pod| pod.serves() || pod.runner.is_busy()));
    let best = former.iter().max_by_key(|revision| (serving(revision), Reverse(&revision.hash)))?;
    let to = best.replicas.saturating_add(sizes.grow_former);
    Some(Action::Grow { revision: best.hash.clone(), from: best.replicas, to })
}

/// Chooses `n` pods of these revisions to go, and adds their names to `going`.
fn retire(revisions: &[&Revision], n: u32, memory: &Memory, going: &mut BTreeSet<String>) -> Vec<Action> {
    let mut left = n;
    let mut actions = Vec::new();
    // Pods that cannot be created go first: that costs nothing.
    let mut forgone = vec![0; revisions.len()];
    for (revision, forgone) in revisions.iter().zip(&mut forgone) {
        let missing = revision.replicas.saturating_sub(count(revision.pods.iter()));
        *forgone = if revision.stuck { missing.min(left) } else { 0 };
        left -= *forgone;
    }
    let mut pods: Vec<(usize, &Pod)> = revisions
        .iter()
        .enumerate()
        .flat_map(|(at, revision)| staying(revision).into_iter().map(move |pod| (at, pod)))
        .collect();
    pods.sort_by_key(|(_, pod)| rank(pod));
    // No more of a revision than its size: a Deployment may have more pods than it asks for, and those are not this plan's to take.
    let mut places: Vec<u32> = revisions.iter().map(|revision| revision.replicas).collect();
    pods.retain(|(at, _)| {
        let has_place = places[*at] > 0;
        places[*at] = places[*at].saturating_sub(1);
        has_place
    });
    pods.truncate(left as usize);
    going.extend(pods.iter().map(|(_, pod)| pod.name.clone()));
    for (at, revision) in revisions.iter().enumerate() {
        if forgone[at] > 0 {
            let to = revision.replicas - forgone[at];
            actions.push(Action::Forgo { revision: revision.hash.clone(), from: revision.replicas, to });
            // Its pods go with the next plan, which knows the new size.
            continue;
        }
        // Such a pod cannot be fenced, and without its fence it is not marked.
        let kept = |pod: &Pod| pod.name_taken;
        let held = |pod: &Pod| {
            pod.runner.is_busy()
                && !pod.marked
                && pod.draining
                && memory.fenced.get(&pod.name) == Some(&Fence::Held)
        };
        let candidates: Vec<Candidate> = pods
            .iter()
            .filter(|(of, pod)| *of == at && !held(pod) && !kept(pod))
            .map(|(_, pod)| Candidate { pod: pod.name.clone(), keep_fence: pod.runner.is_busy() })
            .collect();
        if !candidates.is_empty() {
            actions.push(Action::Retire {
                revision: revision.hash.clone(),
                from: revision.replicas,
                candidates,
            });
        }
    }
    actions
}

/// Without the admission policy: whether the ReplicaSet controller will take the marked pods and no others. It takes pods that are pending or
/// not ready first, marked or not: so there must be none of these except candidates.
fn is_predictable(observed: &Observed, action: &Action) -> bool {
    let Action::Retire { revision, candidates, .. } = action else { return true };
    let Some(revision) = observed.revisions.iter().find(|one| one.hash == *revision) else { return true };
    let goes = |pod: &Pod| candidates.iter().any(|candidate| candidate.pod == pod.name);
    let begins = |pod: &&Pod| !pod.ready || pod.runner == Runner::Absent;
    let all_there = count(revision.pods.iter()) >= revision.replicas;
    let only_beginners = revision.pods.iter().filter(|pod| goes(pod)).all(|pod| begins(&pod));
    let all_beginners = revision.pods.iter().filter(begins).all(goes);
    all_there && (only_beginners || all_beginners)
}

/// The pods of a revision without those that the ReplicaSet controller is about to take: marked pods beyond `replicas`.
fn staying(revision: &Revision) -> Vec<&Pod> {
    let mut leaving = count(revision.pods.iter()).saturating_sub(revision.replicas);
    let mut pods: Vec<&Pod> = revision.pods.iter().collect();
    pods.retain(|pod| {
        let goes = pod.marked && leaving > 0;
        leaving -= u32::from(goes);
        !goes
    });
    pods
}

/// For a Deployment that has more pods than it asks for, although the operator did not shrink it (somebody else scaled it or restarted its
/// rollout): which pods the ReplicaSet controller may take.
fn yielded(revision: &Revision, planned: &[Action], going: &mut BTreeSet<String>) -> Option<Action> {
    let grows = planned
        .iter()
        .any(|action| matches!(action, Action::Grow { revision: grown, .. } if *grown == revision.hash));
    let unmarked: Vec<&Pod> = revision.pods.iter().filter(|pod| !pod.marked).collect();
    let surplus = count(revision.pods.iter()).saturating_sub(revision.replicas);
    let marked = count(revision.pods.iter()) - count(unmarked.iter());
    let missing = surplus.saturating_sub(marked);
    if grows || missing == 0 {
        return None;
    }
    let mut idle: Vec<&Pod> =
        unmarked.into_iter().filter(|pod| !pod.runner.is_busy() && !pod.name_taken).collect();
    idle.sort_by_key(|pod| rank(pod));
    idle.truncate(missing as usize);
    going.extend(idle.iter().map(|pod| pod.name.clone()));
    let candidates: Vec<Candidate> =
        idle.iter().map(|pod| Candidate { pod: pod.name.clone(), keep_fence: false }).collect();
    (!candidates.is_empty()).then(|| Action::Yield { revision: revision.hash.clone(), candidates })
}

/// Who goes first: pods that have never served, then pods that are already marked, then pods that do not serve, then those idle longest.
/// Busy pods come last, and lose only their place for the next run: first those that are already fenced, then those whose run has lasted longest.
/// Pods whose names are taken come after these, and stay.
fn rank(pod: &Pod) -> impl Ord + use<> {
    let (class, since) = match pod.runner {
        // Busy in spite of its mark: its fence is gone, so the mark has to go before anything shrinks.
        Runner::Busy { since } if pod.marked => (0, since),
        _ if pod.name_taken => (8, None),
        _ if pod.is_useless() => (1, None),
        _ if pod.marked => (2, None),
        Runner::Absent => (3, None),
        Runner::Idle { .. } if !pod.ready => (4, None),
        Runner::Idle { since } => (5, since),
        Runner::Busy { since } if pod.draining => (6, since),
        Runner::Busy { since } => (7, since),
    };
    // A pod without a time has not been known for long.
    (class, Reverse(since.is_some()), since, pod.name.clone())
}

/// Pods that carry our mark or fence and are to stay. `calm`: the ReplicaSet controller is not choosing among marked pods, or can do no harm.
fn spared(
    observed: &Observed,
    memory: &Memory,
    going: &BTreeSet<String>,
    calm: bool,
    now: Elapsed,
) -> Vec<Action> {
    let mut actions = Vec::new();
    for revision in &observed.revisions {
        for pod in staying(revision) {
            if going.contains(&pod.name) {
                continue;
            }
            let chosen = memory.marked.get(&pod.name).is_some_and(|since| now < *since + CHOSEN);
            if pod.marked && (!calm || chosen && !observed.guarded) {
                continue;
            }
            let fenced = match memory.fenced.get(&pod.name) {
                Some(Fence::Held) => true,
                Some(Fence::Lifted(at)) => pod.draining && now >= *at + LIFT_AGAIN,
                // The fence of a former leader, or of somebody else: lifting ours leaves somebody else's in place.
                None => pod.draining,
            };
            if pod.marked || fenced {
                actions.push(Action::Spare { pod: pod.name.clone(), marked: pod.marked });
            }
        }
    }
    actions
}
