//! What reconciles share, what is remembered of each pool, and how a reconcile fails.

use std::collections::{BTreeSet, HashMap, HashSet};
use std::sync::atomic::AtomicBool;
use std::sync::{Arc, Mutex, PoisonError};

use futures_util::future;
use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::core::v1::Pod as KubePod;
use kube::Client;
use kube::runtime::reflector::{ObjectRef, Store};
use minitower_daemon::errors::chain;

use crate::calls::{CALL, CallError};
use crate::crd::{RunnerPool, RunnerPoolStatus};
use crate::demand::Hub;
use crate::leader::{Leadership, NotLeader};
use crate::metrics::Metrics;
use crate::pool_controller::apply::ApplyError;
use crate::pool_controller::build::BuildError;
use crate::pool_controller::events::Teller;
use crate::pool_controller::neighbours::Neighbours;
use crate::pool_controller::observe::{Ending, Expected};
use crate::pool_controller::plan::{self, Elapsed};
use crate::pool_controller::pool::{PoolError, TokenSource};
use crate::pool_controller::problems::{GIVE_RIGHTS, Problem};
use crate::pool_controller::registration::Registration;
use crate::pool_controller::standing::Told;
use crate::pool_controller::sweep::{PodKey, Served};
use crate::settings::Settings;

/// What all reconciles share.
pub struct Context {
    /// The API server.
    pub client: Client,
    /// The operator's configuration.
    pub settings: Settings,
    /// What the control planes say.
    pub hub: Hub,
    /// The right to write.
    pub leadership: Leadership,
    /// What is counted.
    pub metrics: Metrics,
    /// Whether the admission policy existed when it was last looked for.
    pub policy_seen: AtomicBool,
    /// What the pools of all namespaces serve.
    pub neighbours: Neighbours,
    /// Writes Events.
    pub teller: Teller,
    /// Deployments as the watch shows them.
    pub deployments: Store<Deployment>,
    /// Pods as the watch shows them.
    pub pods: Store<KubePod>,
    /// What is remembered of each pool.
    pub states: Mutex<HashMap<ObjectRef<RunnerPool>, Arc<tokio::sync::Mutex<State>>>>,
    /// Pods whose process was seen to end for good, for the sweep.
    pub ended: Mutex<HashSet<PodKey>>,
    /// The control plane of each pool, by the pool's name: the sweep forgets runners there.
    pub planes: Mutex<HashMap<String, Served>>,
}

/// What is remembered of a pool between two reconciles. It is lost with the process, and nothing breaks when it is.
#[derive(Default)]
pub struct State {
    /// The uid of the object: another pool may have had the same name.
    pub(super) uid: Option<String>,
    pub(super) memory: plan::Memory,
    pub(super) expected: Expected,
    pub(super) token: Option<(TokenSource, String, Elapsed)>,
    pub(super) registration: Option<Registration>,
    /// What the control plane was last told of the pool.
    pub(super) standing: Option<Told>,
    pub(super) written: Option<RunnerPoolStatus>,
    pub(super) problem: Option<Problem>,
    /// Why the control plane could not be asked, as people were told.
    pub(super) silent: Option<&'static str>,
    /// The revision of a template that does not serve.
    pub(super) ailing: Option<String>,
    /// Runners on their way out with a run that people have been told of.
    pub(super) leaving: BTreeSet<String>,
    pub(super) stuck: Option<(Elapsed, Option<Problem>)>,
    pub(super) ended: Vec<Ending>,
    /// Another pool serves the same environment, and people were told.
    pub(super) is_shared: bool,
    /// The admission policy is missing, and people were told.
    pub(super) is_unguarded: bool,
    /// When the budget for shielded pods was last known to exist.
    pub(super) budget: Option<Elapsed>,
    /// The generation of the current Deployment at which somebody else's write to its template had changed nothing.
    pub(super) harmless: Option<i64>,
    /// Failures in a row.
    pub failures: u32,
}

impl Context {
    /// What is remembered of that pool.
    pub fn state(&self, of: &ObjectRef<RunnerPool>) -> Arc<tokio::sync::Mutex<State>> {
        let mut states = self.states.lock().unwrap_or_else(PoisonError::into_inner);
        Arc::clone(states.entry(of.clone()).or_default())
    }

    /// Waits until the watches have shown everything that exists. Nothing is decided before.
    pub(super) async fn stores_whole(&self) -> Result<(), ReconcileError> {
        let whole = future::join(self.deployments.wait_until_ready(), self.pods.wait_until_ready());
        match tokio::time::timeout(CALL, whole).await {
            Ok((Ok(()), Ok(()))) => Ok(()),
            // The controller is ending, or the API server is silent.
            _ => Err(ReconcileError::Call {
                what: "list the Deployments and pods",
                source: CallError::Timeout(CALL),
            }),
        }
    }

    /// Forgets a pool that no longer exists, and its metrics: otherwise they would raise alarms for ever.
    pub fn forget(&self, of: &ObjectRef<RunnerPool>) {
        let pool = format!("{}/{}", of.namespace.as_deref().unwrap_or_default(), of.name);
        self.neighbours.forget(&pool);
        if let Some(served) = self.planes.lock().unwrap_or_else(PoisonError::into_inner).get_mut(&pool) {
            served.revoke = true;
        }
        self.metrics.forget(of.namespace.as_deref().unwrap_or_default(), &of.name);
        self.states.lock().unwrap_or_else(PoisonError::into_inner).remove(of);
    }
}

/// Why a pool could not be served.
#[derive(Debug, thiserror::Error)]
pub enum ReconcileError {
    /// Its spec is not valid.
    #[error(transparent)]
    Pool(#[from] PoolError),
    /// No pod template can be built from its spec.
    #[error(transparent)]
    Build(#[from] BuildError),
    /// A step of the plan failed.
    #[error(transparent)]
    Apply(#[from] ApplyError),
    /// Another replica leads now.
    #[error(transparent)]
    NotLeader(#[from] NotLeader),
    /// A call to the API server outside of the plan failed.
    #[error("cannot {what}")]
    Call {
        /// What was to be done, such as `write the pool's status`.
        what: &'static str,
        /// How the call failed.
        source: CallError,
    },
}

impl ReconcileError {
    /// Which stage failed, as a metric's label.
    pub fn stage(&self) -> &'static str {
        match self {
            Self::Pool(_) => "pool",
            Self::Build(_) => "build",
            Self::Apply(error) if error.is_conflict() => "conflict",
            Self::Apply(_) => "apply",
            Self::NotLeader(_) => "leader",
            Self::Call { .. } => "api",
        }
    }

    /// The problem that a person can do something about, if it is one.
    pub(super) fn problem(&self) -> Option<Problem> {
        let reason = match self {
            Self::Pool(error) => error.as_reason(),
            Self::Build(_) => "InvalidTemplate",
            Self::Apply(ApplyError::NameTaken { .. }) => "NameTaken",
            Self::Apply(ApplyError::Call { source, .. }) if source.is_without_right() => {
                return Some(Problem::new("RightsMissing", format!("{}; {GIVE_RIGHTS}", chain(self))));
            }
            Self::Apply(ApplyError::Call { source: CallError::Refused { .. }, .. }) => "DeploymentRefused",
            Self::Apply(ApplyError::ControlPlane(error)) => {
                return Some(Problem::new("NotFenced", error.told()));
            }
            _ => return None,
        };
        Some(Problem::new(reason, chain(self)))
    }
}
