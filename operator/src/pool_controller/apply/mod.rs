//! Carries out a plan: fence, mark, shrink. It follows one rule of its own: a pod is marked only while its runner is fenced and has answered
//! that it is idle.
//!
//! Every write carries the version that the decision was made on, and starts only if this process will certainly still lead at its end. After a
//! failure or a crash between any two steps the next plan starts from what exists.

mod deployments;
mod shields;

use std::time::Duration;

use futures_util::{StreamExt as _, stream};
use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::core::v1::Pod as KubePod;
use kube::api::{Patch, PatchParams};
use kube::{Api, Client, ResourceExt as _};
use serde_json::json;

use super::build::Rendered;
use super::observe::{DELETION_COST, Expected, LEADER_EPOCH, Observation, is_marked};
use super::plan::{Action, Candidate, Elapsed, Fence, Memory, Plan};
use super::pool::Pool;
use crate::calls::{self, CALL, CallError, FIELD_MANAGER};
use crate::demand::{ControlPlane, ControlPlaneError, ErrorKind};
use crate::leader::{Leadership, NotLeader};

/// The mark: the ReplicaSet controller takes the pods with the lowest cost first.
const MARK: &str = "-100";
/// How many fences are asked for at the same time.
const FENCES: usize = 16;
/// Without the admission policy: the time for the ReplicaSet controller to see the marks before it sees the size. On a busy cluster its
/// informers lag some hundred milliseconds behind.
const UNGUARDED_PAUSE: Duration = Duration::from_secs(2);

/// Why an action could not be carried out.
#[derive(Debug, thiserror::Error)]
pub enum ApplyError {
    /// Another replica leads now.
    #[error(transparent)]
    NotLeader(#[from] NotLeader),
    /// A call to the API server failed.
    #[error("cannot {what}")]
    Call {
        /// What was to be done, such as `create Deployment p-1a`.
        what: String,
        /// How the call failed.
        source: CallError,
    },
    /// A Deployment of that name exists and does not belong to this pool.
    #[error(
        "Deployment {name} exists and does not belong to this pool: delete it, or give the pool another name"
    )]
    NameTaken {
        /// The Deployment.
        name: String,
    },
    /// The control plane did not answer a fence.
    #[error(transparent)]
    ControlPlane(#[from] ControlPlaneError),
}

impl ApplyError {
    /// Whether the object has changed since the decision, so that the next reconcile decides again.
    pub fn is_conflict(&self) -> bool {
        matches!(self, Self::Call { source: CallError::Conflict, .. })
    }

    /// Whether the API server does not accept the object as it is, or not from the operator.
    pub fn is_refused(&self) -> bool {
        matches!(self, Self::Call { source: CallError::Refused { .. }, .. })
    }

    /// The object has changed since the decision.
    fn conflict(what: String) -> Self {
        Self::Call { what, source: CallError::Conflict }
    }

    /// The object does not exist.
    fn is_not_found(&self) -> bool {
        matches!(self, Self::Call { source, .. } if source.is_not_found())
    }
}

/// Carries out the plan of one reconcile.
pub struct Executor<'a> {
    /// The API server.
    pub client: &'a Client,
    /// The pool's control plane, if there is a token for it.
    pub control_plane: Option<&'a ControlPlane>,
    /// The right to write.
    pub leadership: &'a Leadership,
    /// Whether the admission policy protects unmarked pods from the ReplicaSet controller.
    pub admission_policy: bool,
    /// The pool.
    pub pool: &'a Pool,
    /// What a new Deployment is created from.
    pub rendered: &'a Rendered,
    /// What the plan is based on.
    pub observation: &'a Observation,
}

/// What was done of a plan.
#[derive(Debug, Default)]
pub struct Done {
    /// Calls to the API server that change something.
    pub writes: u32,
    /// Pods added.
    pub grown: u32,
    /// Pods taken away.
    pub shrunk: u32,
}

impl Executor<'_> {
    /// Carries out all actions, and returns the first error when all have been tried. An error about the leadership is returned at once.
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
            // A future of many kilobytes: on the heap, not on the stack of every caller.
            let result = Box::pin(self.act(action, memory, expected, &mut done, now)).await;
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
                Box::pin(self.create(*replicas, expected, done, now)).await?;
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
            Action::Fence { runners } => self.fence(runners, memory).await?,
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

    /// Fences runners that are on their way out. Returns the first error when all have been tried.
    async fn fence(&self, runners: &[String], memory: &mut Memory) -> Result<(), ApplyError> {
        let Some(control_plane) = self.control_plane else { return Ok(()) };
        let asked = runners.iter().cloned().map(|runner| async move {
            let answer = match self.leadership.check(CALL) {
                Ok(()) => control_plane
                    .drain(&runner, &self.pool.fence_owner())
                    .await
                    .map(drop)
                    .map_err(ApplyError::from),
                Err(error) => Err(error.into()),
            };
            (runner, answer)
        });
        let answers: Vec<_> = stream::iter(asked.collect::<Vec<_>>()).buffered(FENCES).collect().await;
        let mut outcome = Ok(());
        for (runner, answer) in answers {
            match answer {
                Ok(()) => drop(memory.fenced.insert(runner, Fence::Held)),
                // A team's token fences only runners that have registered. This one will show if it ever does.
                Err(ApplyError::ControlPlane(error)) if error.kind() == ErrorKind::NotFound => {}
                Err(error) if outcome.is_ok() => outcome = Err(error),
                Err(_) => {}
            }
        }
        outcome
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
        // A pool whose control plane cannot be asked keeps its pods.
        let Some(control_plane) = self.control_plane else { return (0, Ok(())) };
        let asked = candidates.iter().cloned().map(|candidate| {
            let (control_plane, owner) = (control_plane.clone(), self.pool.fence_owner());
            async move {
                // Checked for each call: many calls take longer than a leader can be sure of its Lease.
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
                        // If a mark outlived its fence, the ReplicaSet controller could delete the pod.
                        self.unmark(&candidate.pod, expected, done, now).await
                    } else {
                        self.spare(&candidate.pod, memory, expected, done, now).await
                    }
                }
                Err(error @ ApplyError::NotLeader(_)) => return (0, Err(error)),
                // Whether the fence was raised is unknown: it is lifted as if it were.
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
        let Some(seen) = self.observation.pods.get(pod) else {
            return Err(ApplyError::conflict(format!("mark pod {pod}")));
        };
        if is_marked(seen) {
            return Ok(());
        }
        self.set_cost(seen, Some(MARK), expected, done, now).await
    }

    /// Takes the mark, if there is one, and leaves the fence.
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

    /// Unmarks, then unfences. The unmark also writes the epoch: a pod that a later leader has written to is no longer ours to unfence.
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
                    // The pod is gone, so there is nothing left to unmark.
                    Err(error) if error.is_not_found() => {}
                    Err(error) => return Err(error),
                }
            }
        }
        self.leadership.check(CALL)?;
        control_plane.undrain(pod, &self.pool.fence_owner()).await?;
        memory.fenced.insert(pod.to_owned(), Fence::Lifted(now));
        Ok(())
    }

    /// Writes or removes the deletion cost, and writes the epoch with it, on the version that was seen.
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
        let written = self
            .call(
                format!("{} pod {pod}", if cost.is_some() { "mark" } else { "unmark" }),
                api.patch(&pod, &params, &Patch::Merge(patch)),
            )
            .await?;
        expected.pod(&pod, written.metadata.resource_version.as_ref(), now);
        Ok(())
    }

    fn deployments(&self) -> Api<Deployment> {
        Api::namespaced(self.client.clone(), &self.pool.namespace)
    }

    /// Makes one call, with a deadline, while this process leads. `what` is what it does, such as `create Deployment p-1a`.
    async fn call<T>(
        &self,
        what: String,
        call: impl Future<Output = Result<T, kube::Error>>,
    ) -> Result<T, ApplyError> {
        self.leadership.check(CALL)?;
        calls::call(call).await.map_err(|source| ApplyError::Call { what, source })
    }
}
