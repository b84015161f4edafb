//! What a plan is made from, and what it says: types without a clock, a network or a Kubernetes object in them.

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use jiff::Timestamp;

use super::decision::{Decision, Limit};

/// Time since the machine started, on a monotonic clock.
pub type Elapsed = Duration;

/// How long what the control plane says may lag behind a fence that was lifted.
const SETTLED: Duration = Duration::from_secs(5);

/// How a pool is to be sized.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Policy {
    /// The fewest runners.
    pub min: u32,
    /// The most runners, over all revisions.
    pub max: u32,
    /// Runners kept free on top of the demand.
    pub min_idle: u32,
    /// Exactly this many runners; bounds and demand are set aside.
    pub replicas: Option<u32>,
    /// Queued runs that one runner is expected to take; at least 1.
    pub runs_per_runner: u32,
    /// How growth is held back.
    pub up: Damping,
    /// How shrinking is held back.
    pub down: Damping,
    /// How often demand is read: at most one step of `max_step` is made in this time.
    pub poll: Duration,
    /// The pool neither grows nor shrinks.
    pub paused: bool,
}

/// How changes in one direction are held back.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Damping {
    /// The size changes only as far as every wish within this time asked for.
    pub stabilization: Duration,
    /// The most runners that one decision may add or take away.
    pub max_step: Option<u32>,
}

/// What the queue asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Demand {
    /// The control plane said so just now.
    Known {
        /// Runs that are queued and ready.
        pending: u64,
    },
    /// The control plane said so a little while ago. This may grow the pool and never shrinks it.
    Stale {
        /// Runs that were queued and ready then.
        pending: u64,
    },
    /// Nothing is known. Only the bounds can change the size.
    Unknown,
}

/// What exists of a pool.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Observed {
    /// What the queue asks for.
    pub demand: Demand,
    /// The revision of the template as it is now.
    pub revision: String,
    /// The Deployments that exist, including the current one if it does.
    pub revisions: Vec<Revision>,
    /// Runners that are on their way out, by name.
    pub leaving: BTreeMap<String, Leaving>,
    /// The ReplicaSet controller cannot take a pod without a mark.
    pub guarded: bool,
    /// The current template does not serve: its pods cannot be created, or do not start.
    pub ailing: bool,
}

/// Whether a runner on its way out can still be given a run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Leaving {
    /// It cannot: it is fenced, or has ended, or nothing is known of it.
    Closed,
    /// It is known and not fenced.
    Open,
    /// It has not registered, and still may.
    Unheard,
}

/// One Deployment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Revision {
    /// Hash of the rendered template.
    pub hash: String,
    /// The size it was given last (`spec.replicas`).
    pub replicas: u32,
    /// What is shown here is older than what was last written to it: nothing may be decided on it.
    pub settling: bool,
    /// Its pods cannot be created (a quota, an admission policy): the missing ones will not come by themselves.
    pub stuck: bool,
    /// Its pods, without those that are leaving.
    pub pods: Vec<Pod>,
}

/// A pod that is not leaving.
#[allow(clippy::struct_excessive_bools, reason = "facts of which each can hold without the others")]
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pod {
    /// The name of the pod and of its runner.
    pub name: String,
    /// It carries the negative deletion cost.
    pub marked: bool,
    /// The kubelet calls it ready.
    pub ready: bool,
    /// What its runner does.
    pub runner: Runner,
    /// Some owner's fence keeps work from it.
    pub draining: bool,
    /// Its runner has registered.
    pub registered: bool,
    /// A runner that is not the pool's has its name: a fence on the name would be a fence on that one.
    pub name_taken: bool,
}

/// What a pod's runner does, as the control plane says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Runner {
    /// Not registered yet, or offline.
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

/// What a controller remembers from one plan to the next. It is lost with the process, and nothing breaks when it is.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Memory {
    /// The size that was decided last. Without it the first plan starts from what exists.
    pub target: Option<u32>,
    /// What was asked for and when, as far back as the longer stabilization window.
    pub wishes: VecDeque<(Elapsed, u32)>,
    /// When the pool last grew.
    pub grown: Option<Elapsed>,
    /// When the pool last shrank.
    pub shrunk: Option<Elapsed>,
    /// Pods that this controller has fenced and not unfenced since.
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
    /// It was lifted at this time. Whatever still keeps work from the runner is somebody else's fence.
    Lifted(Elapsed),
}

/// What is to be done.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Plan {
    /// How many runners there should be.
    pub target: u32,
    /// A change of the target, with its reason.
    pub decision: Option<Decision>,
    /// What keeps the pool from the size that the demand asks for.
    pub limit: Option<Limit>,
    /// What to do, in this order.
    pub actions: Vec<Action>,
    /// For the next plan.
    pub memory: Memory,
}

/// One thing to do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Action {
    /// Create the current revision's Deployment.
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
        /// Its new size.
        to: u32,
    },
    /// Fence these pods, mark those whose runners answer that they are idle, and shrink the revision by the number of marked pods.
    Retire {
        /// The revision.
        revision: String,
        /// Its size now.
        from: u32,
        /// Which pods.
        candidates: Vec<Candidate>,
    },
    /// Fence these pods and mark the idle ones: the ReplicaSet controller already wants to take so many, because somebody else changed
    /// the Deployment.
    Yield {
        /// The revision.
        revision: String,
        /// Which pods.
        candidates: Vec<Candidate>,
    },
    /// Shrink a revision by pods that do not exist and cannot be created.
    Forgo {
        /// The revision.
        revision: String,
        /// Its size now.
        from: u32,
        /// Its new size.
        to: u32,
    },
    /// Fence runners that are on their way out, whatever they do.
    Fence {
        /// Which.
        runners: Vec<String>,
    },
    /// Take mark and fence from a pod that may stay.
    Spare {
        /// The pod.
        pod: String,
        /// It carries the mark.
        marked: bool,
    },
    /// Delete a former revision that has no pods any more.
    Remove {
        /// The revision.
        revision: String,
    },
    /// Lift the fence of a pod that no longer exists: nothing else would.
    Unfence {
        /// The name of the former pod.
        pod: String,
    },
}

/// A pod that may go.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Candidate {
    /// Its name.
    pub pod: String,
    /// If it is busy it stays fenced, and goes when its run has ended: the pool has no room for it.
    pub keep_fence: bool,
}

impl Observed {
    /// All pods that are not leaving.
    pub fn pods(&self) -> impl Iterator<Item = &Pod> {
        self.revisions.iter().flat_map(|revision| &revision.pods)
    }

    /// Idle runners that somebody else keeps from work: lifting this controller's own fence has not freed them.
    pub(super) fn withheld(&self, memory: &Memory, now: Elapsed) -> u32 {
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
    /// Whether it has never served, and its container does not run.
    pub(super) fn is_useless(&self) -> bool {
        !self.ready && !self.registered && !self.name_taken
    }

    /// Whether it could take a run at once.
    pub(super) fn serves(&self) -> bool {
        self.ready && !self.marked && !self.draining && self.runner != Runner::Absent
    }
}

impl Runner {
    /// Whether it holds a run.
    pub fn is_busy(self) -> bool {
        matches!(self, Self::Busy { .. })
    }
}

/// How many there are, or as many as fit.
pub(super) fn count<T>(of: impl Iterator<Item = T>) -> u32 {
    u32::try_from(of.count()).unwrap_or(u32::MAX)
}
