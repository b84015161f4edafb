//! What is to be done for a pool, from what was observed of it: pure, without a clock, a network or a Kubernetes type.
//!
//! `target` decides how many runners there shall be, `rollout` which revision grows and which pods may go. The executor (`apply`) carries the
//! actions out and knows no rule; after a crash between any two of its steps the next plan starts from what is there.

mod rollout;
mod target;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::time::Duration;

use jiff::Timestamp;

pub(crate) use target::counted;
pub use target::{Decision, Limit};

/// Time since the controller's start on a monotonic clock.
pub type Elapsed = Duration;

/// How a pool is to be sized.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Policy {
    /// Fewest runners.
    pub min: u32,
    /// Most runners, over all revisions.
    pub max: u32,
    /// Runners kept free on top of the demand.
    pub min_idle: u32,
    /// Exactly so many; bounds and demand set aside.
    pub replicas: Option<u32>,
    /// Queued runs that one runner is expected to take; at least 1.
    pub runs_per_runner: u32,
    /// How growth is held back.
    pub up: Damping,
    /// How shrinking is held back.
    pub down: Damping,
    /// How often demand is read: a step of `max_step` is made at most that often.
    pub poll: Duration,
    /// Neither grow nor shrink.
    pub paused: bool,
}

/// How changes in one direction are held back.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Damping {
    /// Only as far as every wish of this long asked for.
    pub stabilization: Duration,
    /// At most so many runners at a time.
    pub max_step: Option<u32>,
}

/// What the queue asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Demand {
    /// The control plane said so just now.
    Known {
        /// Runs that wait and may be taken.
        pending: u64,
    },
    /// It said so a little while ago: may grow the pool, never shrink it.
    Stale {
        /// Runs that waited then.
        pending: u64,
    },
    /// Nothing is known: changes nothing but the bounds.
    Unknown,
}

/// What there is of a pool.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Observed {
    /// What the queue asks for.
    pub demand: Demand,
    /// The revision of the template as it is now.
    pub revision: String,
    /// The Deployments that exist, the current one too when there is one.
    pub revisions: Vec<Revision>,
    /// Names of pods that are on their way out.
    pub leaving: BTreeSet<String>,
    /// The ReplicaSet controller cannot take a pod without a mark.
    pub guarded: bool,
}

/// One Deployment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Revision {
    /// Hash of the rendered template.
    pub hash: String,
    /// The size it was given last (`spec.replicas`).
    pub replicas: u32,
    /// What is shown here is older than what was written to it last: nothing may be decided on it.
    pub settling: bool,
    /// Its pods cannot be made (a quota, an admission): the missing ones will not come by themselves.
    pub stuck: bool,
    /// Its pods, without those that are leaving.
    pub pods: Vec<Pod>,
}

/// A pod that is not leaving.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pod {
    /// The pod's name, and its runner's.
    pub name: String,
    /// It carries the negative deletion cost.
    pub marked: bool,
    /// The kubelet calls it ready.
    pub ready: bool,
    /// What its runner does.
    pub runner: Runner,
    /// A fence of whomever keeps work from it.
    pub draining: bool,
}

/// What a pod's runner does, as the control plane says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Runner {
    /// Not registered yet, or not heard of lately.
    Absent,
    /// Holds no run.
    Idle {
        /// Since when.
        since: Option<Timestamp>,
    },
    /// Holds a run.
    Busy {
        /// Since when.
        since: Option<Timestamp>,
    },
}

/// What a controller remembers from one plan to the next; lost with it, at no harm.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Memory {
    /// The size decided last; none: the first plan takes what is there.
    pub target: Option<u32>,
    /// What was asked for, and when, as far back as the longer stabilization window.
    pub wishes: VecDeque<(Elapsed, u32)>,
    /// When the pool last grew and shrank.
    pub grown: Option<Elapsed>,
    /// See `grown`.
    pub shrunk: Option<Elapsed>,
    /// Pods that this controller has fenced, and not lifted since.
    pub fenced: BTreeMap<String, Fence>,
    /// Since when this controller has seen the mark on a pod.
    pub marked: BTreeMap<String, Elapsed>,
    /// When a plan last asked for pods to go.
    pub retired: Option<Elapsed>,
}

/// What this controller knows of its fence on a pod's runner.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fence {
    /// It holds.
    Held,
    /// It was lifted then; what still keeps work from the runner is somebody else's.
    Lifted(Elapsed),
}

/// What is to be done.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Plan {
    /// How many runners there shall be.
    pub target: u32,
    /// A change of the target, with its reason.
    pub decision: Option<Decision>,
    /// What keeps the pool from the size the demand asks for.
    pub limit: Option<Limit>,
    /// In this order.
    pub actions: Vec<Action>,
    /// For the next plan.
    pub memory: Memory,
}

/// One thing to do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Action {
    /// Make the current revision's Deployment.
    Create {
        /// Its first size.
        replicas: u32,
    },
    /// Give a revision more pods.
    Grow {
        /// The revision.
        revision: String,
        /// Its size now.
        from: u32,
        /// Its size then.
        to: u32,
    },
    /// Fence these; mark those that answer idle; make the revision smaller by their number.
    Retire {
        /// The revision.
        revision: String,
        /// Its size now.
        from: u32,
        /// Which pods.
        candidates: Vec<Candidate>,
    },
    /// Fence these, and mark those that answer idle: the ReplicaSet controller already wants to take so many, because somebody else changed the
    /// Deployment.
    Yield {
        /// The revision.
        revision: String,
        /// Which pods.
        candidates: Vec<Candidate>,
    },
    /// Make a revision smaller by pods that do not exist and cannot be made.
    Forgo {
        /// The revision.
        revision: String,
        /// Its size now.
        from: u32,
        /// Its size then.
        to: u32,
    },
    /// Take mark and fence from a pod that may stay.
    Spare {
        /// The pod.
        pod: String,
        /// It carries the mark.
        marked: bool,
    },
    /// Remove a former revision that has no pods any more.
    Remove {
        /// The revision.
        revision: String,
    },
    /// Lift the fence of a pod that is no more: nothing else would.
    Unfence {
        /// The pod it was.
        pod: String,
    },
}

/// A pod that may go.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Candidate {
    /// Its name.
    pub pod: String,
    /// It keeps its fence when it answers busy, and goes when its run has ended: there is no room for it.
    pub keep_fence: bool,
}

/// How long a fence that is not this controller's is let be before it tries once more to lift its own.
pub const LIFT_AGAIN: Duration = Duration::from_secs(60);

/// Without the admission policy: how long after its mark, and after the last shrink, a pod that carries the mark is not spared. The ReplicaSet controller may have chosen it already, whatever
/// its ReplicaSet asks for now, and nothing would keep it from a pod that works again.
pub const CHOSEN: Duration = Duration::from_secs(15);

/// How long what the control plane says may lag behind a fence that was lifted.
const SETTLED: Duration = Duration::from_secs(5);

/// Decides what is to be done for a pool. The same observation, policy, memory and time give the same plan; while nothing else moves, the plans
/// after it soon have nothing to do.
pub fn plan(observed: &Observed, policy: &Policy, memory: &Memory, now: Elapsed) -> Plan {
    let mut memory = memory.clone();
    let gone = forget_gone(observed, &mut memory);
    note_marks(observed, &mut memory, now);
    let sizing = target::decide(observed, policy, &mut memory, now);
    let mut actions = rollout::actions(observed, policy, sizing.target, &memory, now);
    if actions.iter().any(|action| matches!(action, Action::Retire { .. })) {
        memory.retired = Some(now);
    }
    actions.extend(gone.into_iter().map(|pod| Action::Unfence { pod }));
    Plan { target: sizing.target, decision: sizing.decision, limit: sizing.limit, actions, memory }
}

/// Pods that are no more need no place in memory, but for those whose fence has still to be lifted: these are returned.
fn forget_gone(observed: &Observed, memory: &mut Memory) -> Vec<String> {
    // A Deployment that is not seen as it is now may have pods that are not seen at all.
    if observed.revisions.iter().any(|revision| revision.settling) {
        return Vec::new();
    }
    let mut fenced = Vec::new();
    memory.fenced.retain(|name, fence| {
        let exists = observed.pods().any(|pod| pod.name == *name) || observed.leaving.contains(name);
        if !exists && *fence == Fence::Held {
            fenced.push(name.clone());
        }
        exists || *fence == Fence::Held
    });
    fenced
}

fn note_marks(observed: &Observed, memory: &mut Memory, now: Elapsed) {
    let marked: BTreeSet<&String> = observed.pods().filter(|pod| pod.marked).map(|pod| &pod.name).collect();
    memory.marked.retain(|name, _| marked.contains(name));
    for name in marked {
        memory.marked.entry(name.clone()).or_insert(now);
    }
}

impl Observed {
    /// All pods that are not leaving.
    pub fn pods(&self) -> impl Iterator<Item = &Pod> {
        self.revisions.iter().flat_map(|revision| &revision.pods)
    }

    /// Idle runners that somebody else keeps from work: lifting this controller's own fence has not freed them.
    fn withheld(&self, memory: &Memory, now: Elapsed) -> u32 {
        let lifted = |pod: &&Pod| matches!(memory.fenced.get(&pod.name), Some(Fence::Lifted(at)) if now >= *at + SETTLED);
        count(self.pods().filter(|pod| pod.draining && !pod.runner.is_busy()).filter(lifted))
    }

    /// Runners that hold a run.
    pub fn busy(&self) -> u32 {
        count(self.pods().filter(|pod| pod.runner.is_busy()))
    }

    /// The size of all Deployments together.
    pub fn size(&self) -> u32 {
        self.revisions.iter().map(|revision| revision.replicas).sum()
    }
}

impl Pod {
    /// It could take a run at once.
    fn serves(&self) -> bool {
        self.ready && !self.marked && !self.draining && self.runner != Runner::Absent
    }
}

impl Runner {
    /// It holds a run.
    pub fn is_busy(self) -> bool {
        matches!(self, Self::Busy { .. })
    }
}

/// As many as fit.
fn count<T>(of: impl Iterator<Item = T>) -> u32 {
    u32::try_from(of.count()).unwrap_or(u32::MAX)
}
