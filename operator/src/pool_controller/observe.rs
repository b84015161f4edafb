//! What exists: Deployments and pods as the watches show them and runners as the control plane shows them, brought together for the planner.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::core::v1::{ContainerStatus, Pod as KubePod};
use kube::ResourceExt as _;

use super::build::CONTAINER;
use super::leaving::{self, LeavingRunner, is_leaving};
use super::plan::{self, Elapsed, Observed, Revision, Runner};
use super::pool::{POOL_LABEL, Pool, REVISION_LABEL};
use crate::calls::FIELD_MANAGER;
use crate::demand::{Demand, RunnerView, Snapshot};

/// The annotation by which the ReplicaSet controller ranks which pods it deletes first.
pub const DELETION_COST: &str = "controller.kubernetes.io/pod-deletion-cost";
/// The annotation with the epoch of the leader that last lifted a pod's fence.
pub const LEADER_EPOCH: &str = "minitower.dev/leader-epoch";
/// How long to wait until the watches show a write. After that, the versions that writes carry are protection enough.
const SETTLE: Duration = Duration::from_secs(30);

/// What was written last, by object name: the watches must show it before anything is decided on it.
#[derive(Debug, Clone, Default)]
pub struct Expected {
    /// Deployments: version, revision, size, and when each was written.
    deployments: HashMap<String, (u64, String, u32, Elapsed)>,
    /// Pods: version, and when each was written.
    pods: HashMap<String, (u64, Elapsed)>,
    /// Pods that have been seen, and runners without one.
    leaving: leaving::Seen,
}

/// A resource version as a number. It grows with every write to an object: Kubernetes has promised this since 1.35, and did so before.
fn version(of: Option<&String>) -> u64 {
    of.and_then(|version| version.parse().ok()).unwrap_or(0)
}

impl Expected {
    /// A Deployment was written.
    pub fn deployment(
        &mut self,
        name: &str,
        revision: &str,
        replicas: u32,
        written: Option<&String>,
        now: Elapsed,
    ) {
        self.deployments.insert(name.to_owned(), (version(written), revision.to_owned(), replicas, now));
    }

    /// A pod was written.
    pub fn pod(&mut self, name: &str, written: Option<&String>, now: Elapsed) {
        self.pods.insert(name.to_owned(), (version(written), now));
    }

    /// Whether a write to a pod is not shown yet.
    pub fn awaits_pod(&self, name: &str) -> bool {
        self.pods.contains_key(name)
    }

    /// Drops what the watches have shown, and what is not worth waiting for any longer.
    fn seen(&mut self, deployments: &[Arc<Deployment>], pods: &[Arc<KubePod>], now: Elapsed) {
        let versions: HashMap<String, u64> = deployments
            .iter()
            .map(|d| (d.name_any(), version(d.metadata.resource_version.as_ref())))
            .collect();
        self.deployments.retain(|name, (wanted, _, _, at)| {
            now < *at + SETTLE && versions.get(name).is_none_or(|seen| *seen < *wanted)
        });
        let versions: HashMap<String, u64> =
            pods.iter().map(|p| (p.name_any(), version(p.metadata.resource_version.as_ref()))).collect();
        // A pod that is gone will not be shown again.
        self.pods.retain(|name, (wanted, at)| {
            now < *at + SETTLE && versions.get(name).is_some_and(|seen| *seen < *wanted)
        });
    }
}

/// Everything that one reconcile looks at.
#[derive(Debug)]
pub struct Observation {
    /// The planner's view.
    pub observed: Observed,
    /// The pool's Deployments, by revision.
    pub deployments: BTreeMap<String, Arc<Deployment>>,
    /// The pods that are not leaving, by name.
    pub pods: BTreeMap<String, Arc<KubePod>>,
    /// Runners that are on their way out.
    pub leaving: Vec<LeavingRunner>,
    /// What the pool's runners do.
    pub counts: Counts,
    /// Processes that certainly ended while they held a run.
    pub endings: Vec<Ending>,
}

/// What the pods of a pool do. Pods that are leaving are not counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Counts {
    /// All pods.
    pub pods: u32,
    /// Runners that are online and whose container runs.
    pub ready: u32,
    /// Runners that hold a run.
    pub busy: u32,
    /// Runners that are online and hold no run.
    pub idle: u32,
    /// Pods of former revisions.
    pub former: u32,
}

/// The end of a runner's process.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ending {
    /// The runner's name.
    pub runner: String,
    /// Which of its processes.
    pub instance_id: String,
    /// Why, in words.
    pub reason: String,
}

/// Brings together what the watches and the control plane show.
pub fn observe(
    pool: &Pool,
    revision: &str,
    deployments: &[Arc<Deployment>],
    pods: &[Arc<KubePod>],
    demand: Demand<'_>,
    expected: &mut Expected,
    now: Elapsed,
) -> Observation {
    let deployments: Vec<_> = deployments.iter().filter(|d| is_owned(pool, d)).map(Arc::clone).collect();
    expected.seen(&deployments, pods, now);
    let snapshot = demand.snapshot();
    let (own, strangers): (Vec<&RunnerView>, Vec<&RunnerView>) =
        snapshot.into_iter().flat_map(|snapshot| &snapshot.runners).partition(|runner| pool.has(runner));
    let runners: HashMap<&str, &RunnerView> =
        own.into_iter().map(|runner| (runner.name.as_str(), runner)).collect();
    let strangers: HashSet<&str> = strangers.into_iter().map(|runner| runner.name.as_str()).collect();
    let (leaving, leaving_runners) = leaving::observe(pool, pods, demand, &mut expected.leaving, now);
    let staying: Vec<_> = pods.iter().filter(|pod| !is_leaving(pod)).cloned().collect();
    let mut by_revision: BTreeMap<String, Vec<plan::Pod>> = BTreeMap::new();
    for pod in &staying {
        if let Some(of) = pod.labels().get(REVISION_LABEL) {
            by_revision.entry(of.clone()).or_default().push(planned(pod, &runners, &strangers));
        }
    }
    let mut revisions: Vec<Revision> = deployments
        .iter()
        .filter(|d| d.metadata.deletion_timestamp.is_none())
        .filter_map(|deployment| {
            let hash = deployment.labels().get(REVISION_LABEL)?.clone();
            let pods = by_revision.remove(&hash).unwrap_or_default();
            let settling = expected.deployments.contains_key(&deployment.name_any())
                || pods.iter().any(|pod| expected.pods.contains_key(&pod.name));
            Some(Revision {
                replicas: replicas(deployment),
                settling,
                stuck: is_stuck(deployment),
                pods,
                hash,
            })
        })
        .collect();
    // Created a moment ago, and not shown by the watch yet.
    for (_, hash, replicas, _) in expected.deployments.values() {
        if !revisions.iter().any(|revision| revision.hash == *hash) {
            revisions.push(Revision {
                hash: hash.clone(),
                replicas: *replicas,
                settling: true,
                stuck: false,
                pods: Vec::new(),
            });
        }
    }
    // The store has no order, but the same state must give the same plan.
    revisions.sort_by(|a, b| a.hash.cmp(&b.hash));
    for revision in &mut revisions {
        revision.pods.sort_by(|a, b| a.name.cmp(&b.name));
    }
    let observed = Observed {
        demand: planner_demand(pool, demand),
        revision: revision.to_owned(),
        revisions,
        leaving,
        guarded: true,
        ailing: false,
    };
    let counts = counts(&observed);
    Observation {
        observed,
        deployments: deployments
            .iter()
            .filter_map(|d| Some((d.labels().get(REVISION_LABEL)?.clone(), Arc::clone(d))))
            .collect(),
        pods: staying.iter().map(|pod| (pod.name_any(), Arc::clone(pod))).collect(),
        leaving: leaving_runners,
        counts,
        endings: snapshot.map_or_else(Vec::new, |_| endings(pods, &runners)),
    }
}

/// This pool's part of the demand, as the planner needs it.
fn planner_demand(pool: &Pool, demand: Demand<'_>) -> plan::Demand {
    let pending =
        |snapshot: &Snapshot| snapshot.pending_in(&pool.spec.environment, pool.spec.team.as_deref());
    match demand {
        Demand::Known(snapshot) => plan::Demand::Known { pending: pending(snapshot) },
        Demand::Stale { snapshot, .. } => plan::Demand::Stale { pending: pending(snapshot) },
        Demand::Unknown { .. } => plan::Demand::Unknown,
    }
}

/// Whether a Deployment belongs to this pool, and not to a former pool of the same name.
pub fn is_owned(pool: &Pool, deployment: &Deployment) -> bool {
    deployment.namespace().as_deref() == Some(&pool.namespace)
        && deployment.labels().get(POOL_LABEL) == Some(&pool.name)
        && is_controlled(pool, deployment)
}

/// Whether a Deployment was created for this pool, whatever its labels say now.
pub fn is_controlled(pool: &Pool, deployment: &Deployment) -> bool {
    deployment.owner_references().iter().any(|o| o.uid == pool.uid && o.controller == Some(true))
}

/// Whether a pod carries the mark.
pub fn is_marked(pod: &KubePod) -> bool {
    pod.annotations()
        .get(DELETION_COST)
        .and_then(|cost| cost.parse::<i64>().ok())
        .is_some_and(|cost| cost < 0)
}

fn replicas(deployment: &Deployment) -> u32 {
    let replicas = deployment.spec.as_ref().and_then(|spec| spec.replicas).unwrap_or(0);
    u32::try_from(replicas).unwrap_or(0)
}

/// Whether pods cannot be created. A pod that could not be deleted is no problem: the admission policy is there for that.
fn is_stuck(deployment: &Deployment) -> bool {
    failed_create(deployment).is_some()
}

/// The API server's own words when pods cannot be created.
pub fn failed_create(deployment: &Deployment) -> Option<&str> {
    let conditions = deployment.status.as_ref()?.conditions.as_ref()?;
    let failure = conditions.iter().find(|c| c.type_ == "ReplicaFailure" && c.status == "True")?;
    (failure.reason.as_deref() == Some("FailedCreate"))
        .then(|| failure.message.as_deref().unwrap_or_default())
}

/// The runner's container, as the kubelet reports it.
pub fn container(pod: &KubePod) -> Option<&ContainerStatus> {
    let statuses = pod.status.as_ref()?.container_statuses.as_ref()?;
    statuses.iter().find(|status| status.name == CONTAINER)
}

fn planned(pod: &KubePod, runners: &HashMap<&str, &RunnerView>, strangers: &HashSet<&str>) -> plan::Pod {
    let name = pod.name_any();
    let runner = runners.get(name.as_str());
    plan::Pod {
        marked: is_marked(pod),
        ready: container(pod).is_some_and(|container| container.ready),
        runner: match runner {
            Some(runner) if runner.busy => Runner::Busy { since: runner.attempt_started_at },
            Some(runner) if runner.online => Runner::Idle { since: runner.idle_since },
            _ => Runner::Absent,
        },
        draining: runner.is_some_and(|runner| runner.draining),
        registered: runner.is_some(),
        name_taken: strangers.contains(name.as_str()),
        name,
    }
}

fn counts(observed: &Observed) -> Counts {
    let mut counts = Counts::default();
    for revision in &observed.revisions {
        for pod in &revision.pods {
            counts.pods += 1;
            match pod.runner {
                Runner::Busy { .. } => counts.busy += 1,
                Runner::Idle { .. } => counts.idle += 1,
                Runner::Absent => {}
            }
            // The control plane takes a while to notice that a process has ended. The kubelet does not.
            if pod.ready && pod.runner != Runner::Absent {
                counts.ready += 1;
            }
            if revision.hash != observed.revision {
                counts.former += 1;
            }
        }
    }
    counts
}

/// Processes that the kubelet saw end and that hold a run according to the control plane. A node that is merely unreachable proves nothing:
/// its pods have no ended containers.
fn endings(pods: &[Arc<KubePod>], runners: &HashMap<&str, &RunnerView>) -> Vec<Ending> {
    let mut endings = Vec::new();
    for pod in pods {
        let Some(container) = container(pod) else { continue };
        let Some(runner) = runners.get(pod.name_any().as_str()).filter(|runner| runner.busy) else {
            continue;
        };
        let states = [container.state.as_ref(), container.last_state.as_ref()];
        for ended in states.into_iter().flatten().filter_map(|state| state.terminated.as_ref()) {
            let mut lines = ended.message.as_deref().unwrap_or_default().lines();
            // The first line says which process it was. Without it, the lease decides.
            let Some(instance_id) = lines.next().map(str::trim).filter(|line| !line.is_empty()) else {
                continue;
            };
            if runner.instance_id.as_deref() != Some(instance_id) {
                continue;
            }
            let why = ended.reason.as_deref().unwrap_or("ended");
            let mut reason = format!("runner pod {}: {why}, exit code {}", pod.name_any(), ended.exit_code);
            if let Some(words) = lines.next().map(str::trim).filter(|line| !line.is_empty()) {
                reason.push_str(": ");
                reason.extend(words.chars().take(300));
            }
            endings.push(Ending { runner: runner.name.clone(), instance_id: instance_id.to_owned(), reason });
        }
    }
    endings
}

impl Observation {
    /// The Deployment of the current revision, if the watch shows it.
    pub fn current(&self) -> Option<&Arc<Deployment>> {
        self.deployments.get(&self.observed.revision)
    }

    /// The pods of the current revision that are not leaving.
    pub fn current_pods(&self) -> impl Iterator<Item = &Arc<KubePod>> {
        let of_current =
            |pod: &&Arc<KubePod>| pod.labels().get(REVISION_LABEL) == Some(&self.observed.revision);
        self.pods.values().filter(of_current)
    }

    /// The version of a revision's Deployment on which a decision about it is made.
    pub fn version(&self, revision: &str) -> Option<String> {
        self.deployments.get(revision)?.metadata.resource_version.clone()
    }
}

/// Who else has written to a Deployment's template, such as `kubectl edit`, `kubectl set image` or `kubectl rollout restart`.
pub fn meddler(deployment: &Deployment) -> Option<String> {
    let managed = deployment.metadata.managed_fields.as_ref()?;
    let other = managed.iter().find(|entry| {
        let theirs = entry.manager.as_deref() != Some(FIELD_MANAGER);
        let template = entry.fields_v1.as_ref().and_then(|fields| fields.0.get("f:spec")?.get("f:template"));
        theirs && entry.subresource.as_deref().unwrap_or_default().is_empty() && template.is_some()
    })?;
    Some(other.manager.clone().unwrap_or_else(|| "somebody".to_owned()))
}
