//! What is to be done for a pool, from what was observed of it: pure, without a clock, a network or a Kubernetes type.
//!
//! | file | what |
//! |---|---|
//! | `model` | what a plan is made from, and what it says |
//! | `target` | how many runners there should be |
//! | `decision` | a decision about the size, and its reason in words |
//! | `rollout` | which revision grows, and which pods may go |
//!
//! The executor (`apply`) carries the actions out and decides nothing. After a crash between any two of its steps the next plan starts from
//! what exists.

mod decision;
mod model;
mod rollout;
mod target;
#[cfg(test)]
mod tests;

use std::collections::BTreeSet;

pub(crate) use self::decision::counted;
pub use self::decision::{Decision, Limit};
pub use self::model::{
    Action, Candidate, Damping, Demand, Elapsed, Fence, Leaving, Memory, Observed, Plan, Pod, Policy,
    Revision, Runner,
};
pub use self::rollout::{CHOSEN, LIFT_AGAIN};

/// Decides what is to be done for a pool. The same observation, policy, memory and time give the same plan. While nothing else changes, the
/// following plans soon have nothing to do.
pub fn plan(observed: &Observed, policy: &Policy, memory: &Memory, now: Elapsed) -> Plan {
    let mut memory = memory.clone();
    let gone = forget_gone(observed, &mut memory);
    note_marks(observed, &mut memory, now);
    let sizing = target::decide(observed, policy, &mut memory, now);
    let mut actions: Vec<Action> = fence_leaving(observed, &memory).into_iter().collect();
    actions.extend(rollout::actions(observed, policy, sizing.target, &memory, now));
    if actions.iter().any(|action| matches!(action, Action::Retire { .. })) {
        memory.retired = Some(now);
    }
    actions.extend(gone.into_iter().map(|pod| Action::Unfence { pod }));
    Plan { target: sizing.target, decision: sizing.decision, limit: sizing.limit, actions, memory }
}

/// Forgets pods that no longer exist, except those whose fence must still be lifted: these are returned.
fn forget_gone(observed: &Observed, memory: &mut Memory) -> Vec<String> {
    // A Deployment that is not seen as it is may have pods that are not seen at all.
    if observed.revisions.iter().any(|revision| revision.settling) {
        return Vec::new();
    }
    let mut fenced = Vec::new();
    memory.fenced.retain(|name, fence| {
        let exists = observed.pods().any(|pod| pod.name == *name) || observed.leaving.contains_key(name);
        if !exists && *fence == Fence::Held {
            fenced.push(name.clone());
        }
        exists || *fence == Fence::Held
    });
    fenced
}

/// What leaves takes no further run. A fence raised in advance does not show, so it is remembered.
fn fence_leaving(observed: &Observed, memory: &Memory) -> Option<Action> {
    let is_held = |name: &String| memory.fenced.get(name) == Some(&Fence::Held);
    let open = observed.leaving.iter().filter(|(name, way)| match way {
        Leaving::Closed => false,
        Leaving::Open => true,
        Leaving::Unheard => !is_held(name),
    });
    let runners: Vec<String> = open.map(|(name, _)| name.clone()).collect();
    (!runners.is_empty()).then_some(Action::Fence { runners })
}

fn note_marks(observed: &Observed, memory: &mut Memory, now: Elapsed) {
    let marked: BTreeSet<&String> = observed.pods().filter(|pod| pod.marked).map(|pod| &pod.name).collect();
    memory.marked.retain(|name, _| marked.contains(name));
    for name in marked {
        memory.marked.entry(name.clone()).or_insert(now);
    }
}
