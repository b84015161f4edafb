//! Runners on their way out: their pods are being deleted, or are gone while the control plane still hears of the runner.
//!
//! The kubelet may take long to tell such a process to stop, and never does on a node that is cut off. So each of them is fenced, and shown
//! until it has ended.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use k8s_openapi::api::core::v1::Pod as KubePod;
use kube::ResourceExt as _;

use super::plan::{Elapsed, Leaving};
use super::pool::Pool;
use crate::demand::{Demand, RunnerView};

/// How long a runner must have had no pod before that counts, if its pod was never seen: the watch may be late.
const CERTAIN_AFTER: Duration = Duration::from_secs(3);

/// Which pods have been seen, and since when runners have had none.
#[derive(Debug, Clone, Default)]
pub struct Seen {
    pods: HashSet<String>,
    without: HashMap<String, Elapsed>,
}

/// A runner on its way out, as people are told about it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LeavingRunner {
    /// The name of the runner and of its pod.
    pub name: String,
    /// The run it holds.
    pub run_id: Option<i64>,
    /// Whether it holds a run.
    pub busy: bool,
    /// Why it leaves.
    pub cause: Cause,
    /// When its pod was deleted.
    pub since: Option<Timestamp>,
    /// When the kubelet kills what is left of it.
    pub until: Option<Timestamp>,
}

/// Why a runner leaves.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Cause {
    /// Its pod was deleted.
    Deleted,
    /// Its pod was evicted, or preempted, or its node goes away: the API server's own reason and words.
    Disrupted {
        /// Such as `EvictionByEvictionAPI`.
        reason: String,
        /// In words.
        message: String,
    },
    /// Its pod no longer exists: it was deleted by force, or with its node. Its process may live on.
    PodGone,
}

impl Cause {
    /// The cause in the form that Kubernetes uses.
    pub fn as_reason(&self) -> &str {
        match self {
            Self::Deleted => "Deleted",
            Self::Disrupted { reason, .. } => reason,
            Self::PodGone => "PodGone",
        }
    }
}

impl LeavingRunner {
    /// What a person is told when it leaves with a run.
    pub fn told(&self) -> String {
        let Self { name, cause, .. } = self;
        let run = self.run_id.map_or_else(|| "a run".to_owned(), |run| format!("run {run}"));
        let until = self.until.map(|until| format!("until {until:.0}")).unwrap_or_default();
        match cause {
            Cause::Deleted => {
                format!(
                    "pod {name} was deleted while its runner holds {run}; the run has {until} to finish and returns to the queue then"
                )
            }
            Cause::Disrupted { message, .. } => {
                let message = message.trim_end_matches('.');
                format!(
                    "pod {name} has to go while its runner holds {run} ({message}); the run has {until} to finish and returns to the queue then"
                )
            }
            Cause::PodGone => format!(
                "pod {name} no longer exists, but its runner still holds {run}: it was deleted by force, or with its node; the runner is \
                 fenced, and its lease decides about the run"
            ),
        }
    }
}

/// What is on its way out: for the planner, and for people, those that hold a run first.
pub fn observe(
    pool: &Pool,
    pods: &[Arc<KubePod>],
    demand: Demand<'_>,
    seen: &mut Seen,
    now: Elapsed,
) -> (BTreeMap<String, Leaving>, Vec<LeavingRunner>) {
    let all = || demand.snapshot().into_iter().flat_map(|snapshot| &snapshot.runners);
    let listed: HashMap<&str, &RunnerView> =
        all().filter(|runner| pool.has(runner)).map(|runner| (runner.name.as_str(), runner)).collect();
    let is_taken = |name: &str| all().any(|runner| runner.name == name && !pool.has(runner));
    // Who cannot be asked cannot be told either.
    let is_known = matches!(demand, Demand::Known(_));
    let mut leaving = BTreeMap::new();
    let mut told = Vec::new();
    for pod in pods.iter().filter(|pod| is_leaving(pod)) {
        let name = pod.name_any();
        let runner = listed.get(name.as_str()).copied();
        let way = match runner {
            _ if !is_known || has_ended(pod) => Leaving::Closed,
            Some(runner) if runner.draining => Leaving::Closed,
            Some(_) => Leaving::Open,
            // A fence on this name would be a fence on a runner that is not the pool's.
            None if is_taken(&name) => Leaving::Closed,
            None => Leaving::Unheard,
        };
        if pod.metadata.deletion_timestamp.is_some() {
            told.push(of_pod(pod, runner));
        }
        leaving.insert(name, way);
    }
    let present: HashSet<String> = pods.iter().map(|pod| pod.name_any()).collect();
    let orphans: Vec<&RunnerView> = listed
        .into_values()
        .filter(|runner| pool.names(&runner.name))
        .filter(|runner| (runner.online || runner.busy) && !present.contains(&runner.name))
        .collect();
    seen.without.retain(|name, _| orphans.iter().any(|runner| runner.name == *name));
    for runner in &orphans {
        let since = *seen.without.entry(runner.name.clone()).or_insert(now);
        let certain = seen.pods.contains(&runner.name) || now >= since + CERTAIN_AFTER;
        let open = is_known && certain && !runner.draining;
        leaving.insert(runner.name.clone(), if open { Leaving::Open } else { Leaving::Closed });
        if certain {
            told.push(LeavingRunner {
                name: runner.name.clone(),
                run_id: runner.run_id,
                busy: runner.busy,
                cause: Cause::PodGone,
                since: None,
                until: None,
            });
        }
    }
    seen.pods.retain(|name| orphans.iter().any(|runner| runner.name == *name));
    seen.pods.extend(present);
    told.sort_by(|a, b| (!a.busy, &a.name).cmp(&(!b.busy, &b.name)));
    (leaving, told)
}

/// Whether a pod can never take a run again: it is being deleted, or has ended.
pub fn is_leaving(pod: &KubePod) -> bool {
    pod.metadata.deletion_timestamp.is_some() || has_ended(pod)
}

/// Whether all containers of a pod have ended for good.
pub fn has_ended(pod: &KubePod) -> bool {
    let phase = pod.status.as_ref().and_then(|status| status.phase.as_deref());
    matches!(phase, Some("Failed" | "Succeeded"))
}

fn of_pod(pod: &KubePod, runner: Option<&RunnerView>) -> LeavingRunner {
    let until = pod.metadata.deletion_timestamp.as_ref().map(|time| time.0);
    let grace = SignedDuration::from_secs(pod.metadata.deletion_grace_period_seconds.unwrap_or(0));
    let conditions = pod.status.as_ref().and_then(|status| status.conditions.as_deref()).unwrap_or_default();
    let disrupted = conditions.iter().find(|one| one.type_ == "DisruptionTarget" && one.status == "True");
    LeavingRunner {
        name: pod.name_any(),
        run_id: runner.and_then(|runner| runner.run_id),
        busy: runner.is_some_and(|runner| runner.busy),
        cause: disrupted.map_or(Cause::Deleted, |condition| Cause::Disrupted {
            reason: condition
                .reason
                .clone()
                .filter(|reason| !reason.is_empty())
                .unwrap_or_else(|| "Disrupted".to_owned()),
            message: condition.message.clone().unwrap_or_default(),
        }),
        since: until.and_then(|until| until.checked_sub(grace).ok()),
        until,
    }
}
