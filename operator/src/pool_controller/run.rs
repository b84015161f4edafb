//! The watches, their stores, and the controller that runs on them.

use std::future::ready;
use std::sync::{Arc, PoisonError};
use std::time::Duration;

use futures_util::{FutureExt as _, StreamExt as _};
use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::core::v1::Pod as KubePod;
use kube::core::DeserializeGuard;
use kube::runtime::controller::Action as Requeue;
use kube::runtime::reflector::{ObjectRef, store::Writer};
use kube::runtime::{
    Controller, PredicateConfig, WatchStreamExt as _, controller, predicates, reflector, watcher,
};
use kube::{Api, Client, Resource, ResourceExt as _};
use minitower_daemon::backoff::{jittered, pause_after};
use minitower_daemon::errors::chain;

use super::apply::ApplyError;
use super::events::Teller;
use super::guard;
use super::neighbours::Neighbours;
use super::pool::POOL_LABEL;
use super::reconcile::{Context, ReconcileError, reconcile, unreadable};
use super::sweep;
use crate::crd::RunnerPool;
use crate::demand::Hub;
use crate::leader::Leadership;
use crate::metrics::Metrics;
use crate::settings::Settings;

/// A pool, or an object that is stored as one and cannot be read: it must not keep the others from being read.
type Guarded = DeserializeGuard<RunnerPool>;

/// The pause after the first failed reconcile of a pool. It doubles with each further failure.
const BACKOFF_FIRST: Duration = Duration::from_millis(500);
/// The longest pause.
const BACKOFF_MAX: Duration = Duration::from_secs(30);
/// The longest pause if only a fence could not be raised.
const BACKOFF_FENCE: Duration = Duration::from_secs(2);
/// This many conflicts in a row cannot be explained by a watch that lags behind.
const CONFLICTS: u32 = 10;
/// The pause after a write that met a newer version: the watch will show that version at any moment.
const CONFLICT: Duration = Duration::from_millis(200);
/// How often the controller reports that it is alive while there is no pool.
const ALIVE: Duration = Duration::from_secs(5);

/// Serves the pools of one namespace, or of all namespaces, until it is dropped.
pub async fn run(
    client: Client,
    namespace: Option<&str>,
    settings: Settings,
    leadership: Leadership,
    metrics: Metrics,
    hub: Hub,
    neighbours: Neighbours,
) {
    let (deployments, deployments_writer) = reflector::store();
    let (pods, pods_writer) = reflector::store();
    let (pools, pools_writer) = reflector::store();
    let labelled = watcher::Config::default().labels(POOL_LABEL);
    let teller = Teller::new(client.clone(), &settings.identity);
    let context = Arc::new(Context {
        settings,
        hub,
        neighbours,
        leadership,
        metrics,
        teller,
        deployments: deployments.clone(),
        pods: pods.clone(),
        policy_seen: true.into(),
        states: std::sync::Mutex::default(),
        ended: std::sync::Mutex::default(),
        planes: std::sync::Mutex::default(),
        client: client.clone(),
    });
    let pool_stream =
        stream(api::<Guarded>(&client, namespace), watcher::Config::default(), pools_writer, |_| {})
            // The controller need not look at a pool because of the status that it wrote itself.
            .predicate_filter(predicates::generation, PredicateConfig::default());
    let deployment_stream =
        stream(api::<Deployment>(&client, namespace), labelled.clone(), deployments_writer, |_| {});
    let pod_stream = stream(api::<KubePod>(&client, namespace), labelled, pods_writer, |pod| {
        // Nobody reads these, and they are half of a pod.
        pod.metadata.managed_fields = None;
    });
    let controller = Controller::for_stream(pool_stream, pools.clone())
        .owns_stream(deployment_stream)
        .watches_stream(pod_stream, {
            let context = Arc::clone(&context);
            move |pod| {
                sweep::note(&context, &pod);
                pool_of(&pod)
            }
        })
        .run(look_at, again_after, Arc::clone(&context))
        .for_each(|outcome| {
            // Failed reconciles have been reported already.
            if let Err(error @ controller::Error::QueueError(_)) = outcome {
                tracing::warn!(error = %chain(&error), "a watch ended; it starts again");
            }
            ready(())
        });
    let housekeeping = async {
        loop {
            tokio::time::sleep(ALIVE).await;
            // Pools that are being deleted are not reconciled any more. A list that never arrived is not an empty list.
            let listed = pools.wait_until_ready().now_or_never().is_some_and(|ready| ready.is_ok());
            let present = pools.state();
            if listed && present.iter().all(|pool| pool.meta().deletion_timestamp.is_some()) {
                context.metrics.alive();
            }
            let known: Vec<ObjectRef<RunnerPool>> = present.iter().map(|pool| key_of(pool)).collect();
            let gone: Vec<_> = {
                let states = context.states.lock().unwrap_or_else(PoisonError::into_inner);
                states.keys().filter(|key| !known.contains(key)).cloned().collect()
            };
            for key in gone {
                context.forget(&key);
            }
        }
    };
    tokio::select! {
        () = controller => {}
        () = housekeeping => {}
        () = sweep::sweep(Arc::clone(&context)) => {}
        () = guard::watch(&context) => {}
    }
}

/// Keeps a store up to date, and passes on what changes in it. A watch that ends or fails starts again after a growing, jittered pause.
fn stream<K>(
    api: Api<K>,
    config: watcher::Config,
    writer: Writer<K>,
    trim: impl FnMut(&mut K) + Send + 'static,
) -> impl futures_util::Stream<Item = Result<K, watcher::Error>> + Send + 'static
where
    K: Resource<DynamicType = ()>
        + Clone
        + std::fmt::Debug
        + serde::de::DeserializeOwned
        + Send
        + Sync
        + 'static,
{
    watcher(api, config).default_backoff().modify(trim).reflect(writer).touched_objects()
}

fn api<K>(client: &Client, namespace: Option<&str>) -> Api<K>
where
    K: Resource<Scope = k8s_openapi::NamespaceResourceScope, DynamicType = ()>,
{
    match namespace {
        Some(namespace) => Api::namespaced(client.clone(), namespace),
        None => Api::all(client.clone()),
    }
}

async fn look_at(object: Arc<Guarded>, context: Arc<Context>) -> Result<Requeue, ReconcileError> {
    let outcome = match &object.0 {
        Ok(pool) => reconcile(Arc::new(pool.clone()), Arc::clone(&context)).await,
        Err(invalid) => unreadable(&*object, &invalid.error, &context).await,
    };
    context.metrics.alive();
    outcome
}

fn key_of(object: &Guarded) -> ObjectRef<RunnerPool> {
    ObjectRef::new(&object.name_any()).within(&object.namespace().unwrap_or_default())
}

fn pool_of(pod: &KubePod) -> Option<ObjectRef<Guarded>> {
    let pool = pod.labels().get(POOL_LABEL)?;
    Some(ObjectRef::new(pool).within(&pod.namespace()?))
}

/// When a pool that could not be served is tried again.
#[allow(clippy::needless_pass_by_value, reason = "the controller passes both by value")]
fn again_after(pool: Arc<Guarded>, error: &ReconcileError, context: Arc<Context>) -> Requeue {
    let key = key_of(&pool);
    let failures = context.state(&key).try_lock().map_or(1, |state| state.failures);
    let longest = match error {
        // The watch will show the newer version at any moment, unless it hangs.
        ReconcileError::Apply(error) if error.is_conflict() && failures < CONFLICTS => {
            return Requeue::requeue(jittered(CONFLICT));
        }
        // The pool cannot shrink, but it must be able to grow.
        ReconcileError::Apply(ApplyError::ControlPlane(_)) => BACKOFF_FENCE,
        _ => BACKOFF_MAX,
    };
    tracing::warn!(pool = %key, error = %chain(error), failures, "cannot serve a pool");
    Requeue::requeue(pause_after(failures, BACKOFF_FIRST, longest))
}
