//! What reconciles share, and what is remembered of each pool.

use std::collections::HashMap;
use std::sync::atomic::AtomicBool;
use std::sync::{Arc, Mutex, PoisonError};

use futures_util::future;
use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::core::v1::Pod as KubePod;
use kube::Client;
use kube::runtime::reflector::{ObjectRef, Store};

use super::{CALL, ReconcileError};
use crate::crd::{RunnerPool, RunnerPoolStatus};
use crate::demand::{ControlPlaneConfig, Hub};
use crate::leader::Leadership;
use crate::metrics::Metrics;
use crate::pool_controller::events::Teller;
use crate::pool_controller::observe::{Ending, Expected};
use crate::pool_controller::plan::{self, Elapsed};
use crate::pool_controller::pool::TokenSource;
use crate::pool_controller::problems::Problem;
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
    /// Whether the admission policy was there when it was looked for last.
    pub policy_seen: AtomicBool,
    /// Who tells Events.
    pub teller: Teller,
    /// Deployments as the watch has them.
    pub deployments: Store<Deployment>,
    /// Pods as the watch has them.
    pub pods: Store<KubePod>,
    /// What is remembered of each pool.
    pub states: Mutex<HashMap<ObjectRef<RunnerPool>, Arc<tokio::sync::Mutex<State>>>>,
    /// Control planes that were asked for a pool, by its name, and when last: the sweep forgets runners there.
    pub planes: Mutex<HashMap<String, (ControlPlaneConfig, Elapsed)>>,
}

/// What is remembered of a pool between two looks; lost with the process, at no harm.
#[derive(Default)]
pub struct State {
    /// Which object of that name it is of.
    pub(super) uid: Option<String>,
    pub(super) memory: plan::Memory,
    pub(super) expected: Expected,
    pub(super) token: Option<(TokenSource, String, Elapsed)>,
    pub(super) written: Option<RunnerPoolStatus>,
    pub(super) problem: Option<Problem>,
    pub(super) stuck: Option<(Elapsed, Option<Problem>)>,
    pub(super) ended: Vec<Ending>,
    /// Generation of the current Deployment when somebody else's hand in its template had changed nothing.
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

    /// Waits until the watches have brought what there is: before that nothing is decided.
    pub(super) async fn stores_whole(&self) -> Result<(), ReconcileError> {
        let whole = future::join(self.deployments.wait_until_ready(), self.pods.wait_until_ready());
        match tokio::time::timeout(CALL, whole).await {
            Ok((Ok(()), Ok(()))) => Ok(()),
            // The controller ends, or the API server is silent.
            _ => Err(ReconcileError::Timeout("the first lists of Deployments and pods")),
        }
    }

    /// Forgets a pool that is no more, and what was measured of it: else it would alarm for good.
    pub fn forget(&self, of: &ObjectRef<RunnerPool>) {
        self.metrics.forget(of.namespace.as_deref().unwrap_or_default(), &of.name);
        self.states.lock().unwrap_or_else(PoisonError::into_inner).remove(of);
    }
}
