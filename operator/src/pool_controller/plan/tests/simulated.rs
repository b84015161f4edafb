//! A cluster in memory that obeys the plans, under random load, faults, and crashes between any two steps.
//!
//! It stands where it can above a real one: fences answer as a control plane does, and the ReplicaSet controller takes whatever it has too many of: what does
//! not serve first, then the marked ones, unless the admission policy keeps it from all others. What it has chosen it takes some ticks later, whatever
//! was planned meanwhile. It has always seen the marks when it sees the size: that is what the pause before a shrink is for where there is no policy.

use std::collections::{BTreeSet, VecDeque};

use proptest::prelude::*;
use proptest::sample::Index;

use super::*;

/// Random sequences; each is some hundred plans.
const CASES: u32 = 400;
/// Runners a pool has in the end at the least.
const HANDS: u32 = 6;
/// Ticks after the last happening within which a pool comes to rest: all the work that there may be, 60 times 5 runs of 7 ticks, by so many
/// runners, and a few turns more.
const REST: u32 = 60 * 5 * 7 / HANDS + 50;

/// A pod of the simulation, with its runner.
#[derive(Debug, Clone, Default)]
struct SimPod {
    revision: String,
    /// Ticks until it serves; none: it never will.
    starts_in: Option<u32>,
    /// Ticks until its run ends.
    run: Option<u32>,
    idle_since: i64,
    marked: bool,
    fenced: bool,
}

#[derive(Debug, Clone, Default)]
struct World {
    /// Size by revision.
    deployments: BTreeMap<String, u32>,
    pods: BTreeMap<String, SimPod>,
    /// Lengths of the runs that wait.
    queue: VecDeque<u32>,
    template: usize,
    /// Templates whose pods never serve.
    bad: BTreeSet<String>,
    /// The admission policy is there.
    guarded: bool,
    made: usize,
    second: u64,
    /// Ticks that the ReplicaSet controller takes from choosing pods to taking them.
    lag: u64,
    /// Pods that it has chosen, and when it takes them.
    condemned: Vec<(String, u64)>,
    /// Pods that were taken while they held a run.
    killed: usize,
}

/// What happens before a tick.
#[derive(Debug, Clone)]
enum Happening {
    Nothing,
    Runs(Vec<u32>),
    /// The template changes; whether its pods ever serve.
    Template(bool),
    Bounds(u32, u32),
    Replicas(Option<u32>),
    Paused(bool),
    /// A pod dies, with its run.
    Loss(Index),
    /// The controller starts anew, with an empty memory.
    Restart,
    /// The controller ends after this many steps of its plan, and starts again.
    Crash(usize),
    /// The control plane says nothing; whether it spoke a little while ago.
    Silence(bool),
}

fn happening() -> impl Strategy<Value = Happening> {
    prop_oneof![
        10 => Just(Happening::Nothing),
        10 => prop::collection::vec(1_u32..8, 1..6).prop_map(Happening::Runs),
        2 => prop::bool::weighted(0.7).prop_map(Happening::Template),
        2 => (0_u32..4, 0_u32..8).prop_map(|(min, more)| Happening::Bounds(min, min + more)),
        1 => prop::option::of(0_u32..8).prop_map(Happening::Replicas),
        1 => any::<bool>().prop_map(Happening::Paused),
        2 => any::<Index>().prop_map(Happening::Loss),
        2 => Just(Happening::Restart),
        4 => (0_usize..8).prop_map(Happening::Crash),
        2 => any::<bool>().prop_map(Happening::Silence),
    ]
}

impl World {
    fn current(&self) -> String {
        format!("revision{}", self.template)
    }

    fn size(&self) -> u32 {
        self.deployments.values().sum()
    }

    fn observe(&self, demand: Demand) -> Observed {
        let seen = |(name, pod): (&String, &SimPod)| Pod {
            name: name.clone(),
            marked: pod.marked,
            ready: pod.starts_in == Some(0),
            runner: match (pod.run, pod.starts_in) {
                (Some(_), _) => Runner::Busy { since: since(pod.idle_since) },
                (None, Some(0)) => Runner::Idle { since: since(pod.idle_since) },
                _ => Runner::Absent,
            },
            // A fence in advance is not listed.
            draining: pod.fenced && pod.starts_in == Some(0),
            registered: pod.starts_in == Some(0),
            name_taken: false,
        };
        let revision = |(hash, replicas): (&String, &u32)| Revision {
            hash: hash.clone(),
            replicas: *replicas,
            settling: false,
            stuck: false,
            pods: self.pods.iter().filter(|(_, pod)| pod.revision == *hash).map(seen).collect(),
        };
        Observed {
            demand,
            revision: self.current(),
            revisions: self.deployments.iter().map(revision).collect(),
            leaving: BTreeMap::new(),
            guarded: self.guarded,
            // Noticed when there is a pod to see.
            ailing: self.bad.contains(&self.current())
                && self.pods.values().any(|pod| pod.revision == self.current()),
        }
    }

    /// Carries out a plan, up to this many steps, and asserts what no later plan could repair.
    fn carry_out(&mut self, plan: &Plan, policy: &Policy, memory: &mut Memory, mut steps: usize) {
        for action in &plan.actions {
            if !self.act(action, plan, policy, memory, &mut steps) {
                return;
            }
            for (name, pod) in &self.pods {
                assert!(
                    !pod.marked || (pod.fenced && pod.run.is_none()),
                    "marked and not fenced: {name}: {pod:?}"
                );
            }
        }
    }

    /// Whether there are steps left for the next.
    fn act(
        &mut self,
        action: &Action,
        plan: &Plan,
        policy: &Policy,
        memory: &mut Memory,
        steps: &mut usize,
    ) -> bool {
        let before = self.size();
        let most = policy.replicas.unwrap_or(policy.max.max(plan.target));
        let mut step = || {
            let left = *steps;
            *steps = left.saturating_sub(1);
            left > 0
        };
        if !step() {
            return false;
        }
        match action {
            Action::Create { replicas } => {
                let current = self.current();
                assert_eq!(self.deployments.insert(current, *replicas), None, "made twice");
                assert!(self.size() <= most.max(before), "{} pods of {most}", self.size());
            }
            Action::Grow { revision, from, to } => {
                assert!(to > from);
                assert_eq!(self.deployments.insert(revision.clone(), *to), Some(*from));
                assert!(self.size() <= most, "{} pods of {most}", self.size());
            }
            Action::Retire { revision, from, candidates } => {
                let mut marked = 0;
                let serves =
                    |one: &Candidate| self.pods.get(&one.pod).is_some_and(|pod| pod.starts_in == Some(0));
                let takes_servers = candidates.iter().any(serves);
                for candidate in candidates {
                    if !step() {
                        return false;
                    }
                    marked += u32::from(self.fence_and_mark(candidate, memory));
                }
                if !step() {
                    return false;
                }
                assert_eq!(self.deployments.insert(revision.clone(), from - marked), Some(*from));
                // A full pool whose bounds leave no room gives a place to the first pod of a new template.
                let least = policy.replicas.unwrap_or(policy.min);
                let least = if before >= most { least.saturating_sub(1) } else { least };
                assert!(
                    marked == 0 || !takes_servers || self.size() >= least.min(before),
                    "{} pods of {least}",
                    self.size()
                );
            }
            Action::Spare { pod, .. } => {
                if let Some(spared) = self.pods.get_mut(pod) {
                    spared.marked = false;
                    if !step() {
                        return false;
                    }
                    spared.fenced = false;
                    memory.fenced.insert(pod.clone(), Fence::Lifted(seconds(self.second)));
                }
            }
            Action::Remove { revision } => {
                assert_eq!(self.deployments.remove(revision), Some(0));
                assert!(!self.pods.values().any(|pod| pod.revision == *revision), "removed with pods");
            }
            Action::Unfence { pod } => {
                assert!(!self.pods.contains_key(pod), "unfenced while it lives");
                memory.fenced.remove(pod);
            }
            Action::Yield { candidates, .. } => {
                for candidate in candidates {
                    if !step() {
                        return false;
                    }
                    self.fence_and_mark(candidate, memory);
                }
            }
            Action::Forgo { .. } => panic!("nothing is forbidden here"),
            Action::Fence { .. } => panic!("nobody deletes pods here"),
        }
        true
    }

    /// Whether it is marked now.
    fn fence_and_mark(&mut self, candidate: &Candidate, memory: &mut Memory) -> bool {
        let Some(pod) = self.pods.get_mut(&candidate.pod) else { return false };
        pod.fenced = true;
        memory.fenced.insert(candidate.pod.clone(), Fence::Held);
        if pod.run.is_none() {
            pod.marked = true;
            return true;
        }
        if !candidate.keep_fence {
            pod.fenced = false;
            memory.fenced.insert(candidate.pod.clone(), Fence::Lifted(seconds(self.second)));
        }
        false
    }

    /// The rest of the world goes on by a second.
    fn tick(&mut self) {
        self.second += 1;
        let (due, later) = self.condemned.drain(..).partition(|(_, at)| *at <= self.second);
        self.condemned = later;
        let due: Vec<(String, u64)> = due;
        for (name, _) in due {
            if self.guarded && self.pods.get(&name).is_some_and(|pod| !pod.marked) {
                continue;
            }
            let taken = self.pods.remove(&name);
            self.killed += usize::from(taken.is_some_and(|pod| pod.run.is_some()));
        }
        for (revision, replicas) in self.deployments.clone() {
            self.replicate(&revision, replicas as usize);
        }
        for pod in self.pods.values_mut() {
            pod.starts_in = pod.starts_in.map(|ticks| ticks.saturating_sub(1));
            match pod.run {
                Some(1) => (pod.run, pod.idle_since) = (None, i64::try_from(self.second).unwrap()),
                Some(ticks) => pod.run = Some(ticks - 1),
                None if pod.starts_in == Some(0) && !pod.fenced => {
                    pod.run = self.queue.pop_front();
                    if pod.run.is_some() {
                        pod.idle_since = i64::try_from(self.second).unwrap();
                    }
                }
                None => {}
            }
        }
    }

    /// The ReplicaSet controller.
    fn replicate(&mut self, revision: &str, replicas: usize) {
        let mut pods: Vec<(String, bool, bool)> = self
            .pods
            .iter()
            .filter(|(_, pod)| pod.revision == revision)
            .filter(|(name, _)| self.condemned.iter().all(|(condemned, _)| condemned != *name))
            .map(|(name, pod)| (name.clone(), !pod.marked, pod.starts_in == Some(0)))
            .collect();
        for _ in pods.len()..replicas {
            self.made += 1;
            let starts_in = (!self.bad.contains(revision)).then_some(2);
            let pod = SimPod { revision: revision.to_owned(), starts_in, ..SimPod::default() };
            self.pods.insert(format!("pod{}", self.made), pod);
        }
        // What does not serve first, then the marked ones.
        pods.sort_by_key(|(_, unmarked, serves)| (*serves, *unmarked));
        let surplus = pods.len().saturating_sub(replicas);
        let at = self.second + self.lag;
        self.condemned.extend(pods.into_iter().take(surplus).map(|(name, ..)| (name, at)));
    }
}

/// Lets everything happen, one event per tick, and then nothing more until the pool is at rest.
fn live(guarded: bool, lag: u64, happenings: &[Happening]) {
    let mut world = World { guarded, lag, ..World::default() };
    let mut memory = Memory::default();
    let mut policy = Policy { down: Damping { stabilization: seconds(3), max_step: None }, ..policy() };
    let mut at_rest = 0;
    let quiet = std::iter::repeat_n(&Happening::Nothing, REST as usize);
    for (at, happening) in happenings.iter().chain(quiet).enumerate() {
        if at == happenings.len() {
            // What cannot come to rest by itself.
            policy.paused = false;
            policy.max = policy.max.max(HANDS);
            policy.replicas = policy.replicas.map(|n| n.max(HANDS));
            if world.bad.contains(&world.current()) {
                world.template += 1;
            }
        }
        let pending = world.queue.len() as u64;
        let mut demand = known(pending);
        let mut steps = usize::MAX;
        match happening {
            Happening::Runs(runs) => world.queue.extend(runs),
            Happening::Template(serves) => {
                world.template += 1;
                if !serves {
                    world.bad.insert(world.current());
                }
            }
            Happening::Bounds(min, max) => (policy.min, policy.max) = (*min, *max),
            Happening::Replicas(replicas) => policy.replicas = *replicas,
            Happening::Paused(paused) => policy.paused = *paused,
            Happening::Loss(which) if !world.pods.is_empty() => {
                let name = world.pods.keys().nth(which.index(world.pods.len())).unwrap().clone();
                let lost = world.pods.remove(&name).unwrap();
                world.queue.extend(lost.run);
            }
            // A loss where there is nothing to lose.
            Happening::Nothing | Happening::Loss(_) => {}
            Happening::Restart => memory = Memory::default(),
            Happening::Crash(after) => steps = *after,
            Happening::Silence(true) => demand = Demand::Stale { pending },
            Happening::Silence(false) => demand = Demand::Unknown,
        }
        let observed = world.observe(demand);
        let now = seconds(1000 + world.second);
        let made = plan(&observed, &policy, &memory, now);
        assert_eq!(plan(&observed, &policy, &memory, now), made, "the same gives the same");
        memory = made.memory.clone();
        world.carry_out(&made, &policy, &mut memory, steps);
        if steps == usize::MAX {
            comes_to_an_end(&world, &memory, &policy, demand, now);
        } else {
            memory = Memory::default();
        }
        world.tick();
        assert_eq!(world.killed, 0, "a pod that held a run was taken");
        at_rest = if made.actions.is_empty() { at_rest + 1 } else { 0 };
    }
    let size = policy.replicas.unwrap_or(policy.min);
    assert_eq!(
        world.deployments,
        [(world.current(), size)].into(),
        "the size that is wanted, of one revision"
    );
    assert_eq!((world.pods.len(), world.queue.len()), (size as usize, 0));
    assert!(!world.pods.values().any(|pod| pod.fenced || pod.marked), "{:?}", world.pods);
    assert!(at_rest > 10, "it is still at work");
}

/// The number of cases: this one, or `PROPTEST_CASES`.
fn config() -> ProptestConfig {
    let default = ProptestConfig::default();
    let cases = if std::env::var_os("PROPTEST_CASES").is_some() { default.cases } else { CASES };
    ProptestConfig { cases, ..default }
}

/// While nothing else changes, the plans run out of things to do. A few follow from one another, such as the room that a full pool makes for
/// the first pod of a new template, that pod, and the deletion of the empty Deployment.
fn comes_to_an_end(world: &World, memory: &Memory, policy: &Policy, demand: Demand, now: Elapsed) {
    let (mut world, mut memory) = (world.clone(), memory.clone());
    let mut made = Vec::new();
    for _ in 0..12 {
        let next = plan(&world.observe(demand), policy, &memory, now);
        if next.actions.is_empty() {
            return;
        }
        memory = next.memory.clone();
        world.carry_out(&next, policy, &mut memory, usize::MAX);
        made.push(next.actions);
    }
    panic!("still at work: {made:?}");
}

proptest! {
    #![proptest_config(config())]

    #[test]
    fn no_run_is_killed_no_bound_is_broken_and_every_pool_comes_to_rest(
        guarded in any::<bool>(),
        lag in 0_u64..4,
        happenings in prop::collection::vec(happening(), 1..60),
    ) {
        live(guarded, lag, &happenings);
    }
}
