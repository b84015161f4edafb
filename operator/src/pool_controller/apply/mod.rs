//! Carries a plan out: fence, mark, shrink. It knows no rule but one: a pod is marked only while its runner is fenced and answered that it is idle.
//!
//! Every write carries the version that the decision was made on, and begins only while this process is certain to be leader at its end. A
//! failure or crash between any two steps leaves what the next plan finds and mends.

mod deployments;
mod error;

use std::time::Duration;

use futures_util::{StreamExt as _, stream};
use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::core::v1::Pod as KubePod;
use kube::api::{Patch, PatchParams, PostParams};
use kube::{Api, Client, ResourceExt as _};
use serde_json::json;

use super::build::Rendered;
use super::observe::{DELETION_COST, Expected, LEADER_EPOCH, Observation, is_marked};
use super::plan::{Action, Candidate, Elapsed, Fence, Memory, Plan};
use super::pool::Pool;
use crate::demand::ControlPlane;
use crate::leader::{Leadership, NotLeader};

pub use error::ApplyError;

/// The name under which the operator writes.
pub const FIELD_MANAGER: &str = "minitower-operator";
/// The mark: the ReplicaSet controller takes the pods with the lowest cost first.
const MARK: &str = "-100";
/// Longest a call may take; a leader must be sure of its Lease for that long.
pub(super) const CALL: Duration = Duration::from_secs(5);
/// Fences asked for at the same time.
const FENCES: usize = 16;
/// Without the admission policy: time for the ReplicaSet controller to see the marks before it sees the size. Its informers lag some
/// hundred milliseconds behind on a busy cluster.
const UNGUARDED_PAUSE: Duration = Duration::from_secs(2);

/// The hands of one reconcile.
pub struct Hands<'a> {
    /// The API server.
    pub client: &'a Client,
    /// The pool's control plane, when it could be asked.
    pub control_plane: Option<&'a ControlPlane>,
    /// The right to write.
    pub leadership: &'a Leadership,
    /// Whether unmarked pods are safe from the ReplicaSet controller.
    pub admission_policy: bool,
    /// Whose pods.
    pub pool: &'a Pool,
    /// What a new Deployment is made from.
    pub rendered: &'a Rendered,
    /// What the plan was made on.
    pub observation: &'a Observation,
}

/// What of a plan was done.
#[derive(Debug, Default)]
pub struct Done {
    /// Calls to the API server that change something.
    pub writes: u32,
    /// Pods added.
    pub grown: u32,
    /// Pods taken away.
    pub shrunk: u32,
}

impl Hands<'_> {
    /// Carries all actions out. The first error is returned when all have been tried; one that concerns the leadership at once.
    pub async fn carry_out(
        &self,
        plan: &Plan,
        memory: &mut Memory,
        expected: &mut Expected,
        now: Elapsed,
    ) -> (Done, Result<(), ApplyError>) {
        let mut done = Done::default();
        let mut outcome = Ok(());
        for action in &plan.actions {
            let result = self.act(action, memory, expected, &mut done, now).await;
            match result {
                Err(error @ ApplyError::NotLeader(_)) => return (done, Err(error)),
                Err(error) if outcome.is_ok() => outcome = Err(error),
                _ => {}
            }
        }
        (done, outcome)
    }

    async fn act(
        &self,
        action: &Action,
        memory: &mut Memory,
        expected: &mut Expected,
        done: &mut Done,
        now: Elapsed,
    ) -> Result<(), ApplyError> {
        match action {
            Action::Create { replicas } => {
                self.create(*replicas, expected, done, now).await?;
                done.grown += replicas;
            }
            Action::Grow { revision, from, to } => {
                self.scale(revision, *to, expected, done, now).await?;
                done.grown += to - from;
            }
            Action::Forgo { revision, from, to } => {
                self.scale(revision, *to, expected, done, now).await?;
                done.shrunk += from - to;
            }
            Action::Retire { revision, from, candidates } => {
                let (marked, outcome) = self.fence_and_mark(candidates, memory, expected, done, now).await;
                if marked > 0 {
                    let to = from.saturating_sub(marked);
                    if self.admission_policy {
                        self.scale(revision, to, expected, done, now).await?;
                    } else {
                        tokio::time::sleep(UNGUARDED_PAUSE).await;
                        let version = self.version_of(revision, *from).await?;
                        self.scale_from(revision, version, to, expected, done, now).await?;
                    }
                    done.shrunk += marked;
                }
                outcome?;
            }
            Action::Yield { candidates, .. } => {
                self.fence_and_mark(candidates, memory, expected, done, now).await.1?;
            }
            Action::Spare { pod, .. } => self.spare(pod, memory, expected, done, now).await?,
            Action::Remove { revision } => self.remove(revision, done).await?,
            Action::Unfence { pod } => {
                if let Some(control_plane) = self.control_plane {
                    self.leadership.check(CALL)?;
                    control_plane.undrain(pod, &self.pool.fence_owner()).await?;
                    memory.fenced.remove(pod);
                }
            }
        }
        Ok(())
    }

    /// Fences the candidates and marks those that answered idle. Returns how many are marked now.
    async fn fence_and_mark(
        &self,
        candidates: &[Candidate],
        memory: &mut Memory,
        expected: &mut Expected,
        done: &mut Done,
        now: Elapsed,
    ) -> (u32, Result<(), ApplyError>) {
        // Who cannot be asked keeps its pods.
        let Some(control_plane) = self.control_plane else { return (0, Ok(())) };
        let asked = candidates.iter().cloned().map(|candidate| {
            let (control_plane, owner) = (control_plane.clone(), self.pool.fence_owner());
            async move {
                // Each anew: many take longer than a leader is sure of itself.
                let answer = match self.leadership.check(CALL) {
                    Ok(()) => control_plane.drain(&candidate.pod, &owner).await.map_err(ApplyError::from),
                    Err(error) => Err(error.into()),
                };
                (candidate, answer)
            }
        });
        let answers: Vec<_> = stream::iter(asked.collect::<Vec<_>>()).buffered(FENCES).collect().await;
        let mut marked = 0;
        let mut outcome = Ok(());
        for (candidate, answer) in answers {
            let result = match answer {
                Ok(drained) => {
                    memory.fenced.insert(candidate.pod.clone(), Fence::Held);
                    if !drained.busy {
                        self.mark(&candidate.pod, expected, done, now).await.map(|()| marked += 1)
                    } else if candidate.keep_fence {
                        // A mark that outlived its fence would let the ReplicaSet controller take the pod.
                        self.unmark(&candidate.pod, expected, done, now).await
                    } else {
                        self.spare(&candidate.pod, memory, expected, done, now).await
                    }
                }
                Err(error @ ApplyError::NotLeader(_)) => return (0, Err(error)),
                // The fence may be there, or not: it is lifted like one that is.
                Err(error) => {
                    memory.fenced.insert(candidate.pod.clone(), Fence::Held);
                    Err(error)
                }
            };
            match result {
                Err(error @ ApplyError::NotLeader(_)) => return (0, Err(error)),
                Err(error) if outcome.is_ok() => outcome = Err(error),
                _ => {}
            }
        }
        (marked, outcome)
    }

    async fn mark(
        &self,
        pod: &str,
        expected: &mut Expected,
        done: &mut Done,
        now: Elapsed,
    ) -> Result<(), ApplyError> {
        let Some(seen) = self.observation.pods.get(pod) else { return Err(changed(pod)) };
        if is_marked(seen) {
            return Ok(());
        }
        self.set_cost(seen, Some(MARK), expected, done, now).await
    }

    /// Takes the mark, where there is one, and leaves the fence.
    async fn unmark(
        &self,
        pod: &str,
        expected: &mut Expected,
        done: &mut Done,
        now: Elapsed,
    ) -> Result<(), ApplyError> {
        let Some(seen) = self.observation.pods.get(pod).filter(|seen| is_marked(seen)) else { return Ok(()) };
        self.set_cost(seen, None, expected, done, now).await
    }

    /// Unmarks, then unfences. The epoch goes with the first: a pod that a later leader has written to is no longer ours to unfence.
    async fn spare(
        &self,
        pod: &str,
        memory: &mut Memory,
        expected: &mut Expected,
        done: &mut Done,
        now: Elapsed,
    ) -> Result<(), ApplyError> {
        let Some(control_plane) = self.control_plane else { return Ok(()) };
        if let Some(seen) = self.observation.pods.get(pod) {
            let epoch = seen.annotations().get(LEADER_EPOCH).and_then(|epoch| epoch.parse::<u64>().ok());
            let later = epoch.is_some_and(|epoch| epoch > self.leadership.epoch());
            if later {
                return Err(NotLeader.into());
            }
            if is_marked(seen) || epoch != Some(self.leadership.epoch()) {
                match self.set_cost(seen, None, expected, done, now).await {
                    Ok(()) => {}
                    // Gone, with nothing left to unmark.
                    Err(ApplyError::Kube { source, .. }) if is_status(&source, 404) => {}
                    Err(error) => return Err(error),
                }
            }
        }
        self.leadership.check(CALL)?;
        control_plane.undrain(pod, &self.pool.fence_owner()).await?;
        memory.fenced.insert(pod.to_owned(), Fence::Lifted(now));
        Ok(())
    }

    /// Writes the deletion cost, or takes it, and with it the epoch; on the version that was seen.
    async fn set_cost(
        &self,
        seen: &KubePod,
        cost: Option<&str>,
        expected: &mut Expected,
        done: &mut Done,
        now: Elapsed,
    ) -> Result<(), ApplyError> {
        let pod = seen.name_any();
        let patch = json!({ "metadata": {
            "resourceVersion": seen.metadata.resource_version,
            "annotations": { DELETION_COST: cost, LEADER_EPOCH: self.leadership.epoch().to_string() },
        }});
        let api: Api<KubePod> = Api::namespaced(self.client.clone(), &self.pool.namespace);
        let params = PatchParams { field_manager: Some(FIELD_MANAGER.to_owned()), ..PatchParams::default() };
        done.writes += 1;
        let written = self.call(format!("pod {pod}"), api.patch(&pod, &params, &Patch::Merge(patch))).await?;
        expected.pod(&pod, written.metadata.resource_version.as_ref(), now);
        Ok(())
    }

    fn deployments(&self) -> Api<Deployment> {
        Api::namespaced(self.client.clone(), &self.pool.namespace)
    }

    /// One call, with a deadline, while this process is leader.
    async fn call<T>(
        &self,
        what: String,
        call: impl Future<Output = Result<T, kube::Error>>,
    ) -> Result<T, ApplyError> {
        self.leadership.check(CALL)?;
        match tokio::time::timeout(CALL, call).await {
            Err(_) => Err(ApplyError::Timeout { what }),
            Ok(Ok(answer)) => Ok(answer),
            Ok(Err(kube::Error::Api(status))) if status.code == 409 => Err(ApplyError::Conflict { what }),
            Ok(Err(kube::Error::Api(status))) if matches!(status.code, 400 | 403 | 422) => {
                Err(ApplyError::Refused { what, message: status.message.clone() })
            }
            Ok(Err(source)) => Err(ApplyError::Kube { what, source: Box::new(source) }),
        }
    }
}

fn written_by() -> PostParams {
    PostParams { field_manager: Some(FIELD_MANAGER.to_owned()), ..PostParams::default() }
}

fn changed(what: &str) -> ApplyError {
    ApplyError::Conflict { what: what.to_owned() }
}

fn is_status(error: &kube::Error, code: u16) -> bool {
    matches!(error, kube::Error::Api(status) if status.code == code)
}
