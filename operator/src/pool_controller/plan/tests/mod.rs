//! The planner by tables (`sizes`, `rollouts`), and against a simulated cluster with random load, faults and crashes (`simulated`).

mod rollouts;
mod simulated;
mod sizes;

use std::collections::BTreeMap;
use std::time::Duration;

use jiff::Timestamp;

use super::model::count;
use super::*;

/// The revision that is current in all tests.
const CURRENT: &str = "new";
/// A former one.
const FORMER: &str = "old";

fn policy() -> Policy {
    Policy {
        min: 0,
        max: 10,
        min_idle: 0,
        replicas: None,
        runs_per_runner: 1,
        up: Damping::default(),
        down: Damping { stabilization: seconds(60), max_step: None },
        poll: seconds(1),
        paused: false,
    }
}

fn seconds(n: u64) -> Duration {
    Duration::from_secs(n)
}

fn known(pending: u64) -> Demand {
    Demand::Known { pending }
}

fn observed(demand: Demand, revisions: Vec<Revision>) -> Observed {
    Observed {
        demand,
        revision: CURRENT.to_owned(),
        revisions,
        leaving: BTreeMap::new(),
        guarded: true,
        ailing: false,
    }
}

/// A Deployment whose size is the number of its pods.
fn revision(hash: &str, pods: Vec<Pod>) -> Revision {
    Revision { hash: hash.to_owned(), replicas: count(pods.iter()), settling: false, stuck: false, pods }
}

fn pod(name: &str, runner: Runner) -> Pod {
    let ready = runner != Runner::Absent;
    Pod {
        name: name.to_owned(),
        marked: false,
        ready,
        runner,
        draining: false,
        registered: ready,
        name_taken: false,
    }
}

fn since(second: i64) -> Option<Timestamp> {
    Timestamp::from_second(second).ok()
}

fn idle(name: &str, second: i64) -> Pod {
    pod(name, Runner::Idle { since: since(second) })
}

fn busy(name: &str, second: i64) -> Pod {
    pod(name, Runner::Busy { since: since(second) })
}

fn absent(name: &str) -> Pod {
    pod(name, Runner::Absent)
}

/// `n` pods named after `prefix`, all idle since the same moment.
fn idles(prefix: &str, n: usize) -> Vec<Pod> {
    (0..n).map(|at| idle(&format!("{prefix}{at}"), 0)).collect()
}

fn busies(prefix: &str, n: usize) -> Vec<Pod> {
    (0..n).map(|at| busy(&format!("{prefix}{at}"), 0)).collect()
}

/// What a pool remembers that has had this size for long, and wanted as much.
fn settled(size: u32) -> Memory {
    Memory { target: Some(size), wishes: [(Duration::ZERO, size)].into(), ..Memory::default() }
}

/// Names of the pods that are to go, in their order, and whether they keep their fence when busy.
fn candidates(plan: &Plan) -> Vec<(&str, bool)> {
    let mut names = Vec::new();
    for action in &plan.actions {
        if let Action::Retire { candidates, .. } | Action::Yield { candidates, .. } = action {
            names.extend(candidates.iter().map(|one| (one.pod.as_str(), one.keep_fence)));
        }
    }
    names
}
