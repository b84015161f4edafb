//! The sweep: runners whose pods are gone are forgotten, with their fences. Names of pods are never used again, and nobody needs a list of
//! runners that no longer exist.
//!
//! Only what is certain is swept: a runner of a pool that this operator serves or has served, which is named like that pool's pods and has
//! no pod, and which is offline or whose pod was seen to go. A runner that holds a run stays until its lease decides.

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, PoisonError};
use std::time::Duration;

use futures_util::future;
use kube::ResourceExt as _;
use minitower_daemon::clock::boottime;
use minitower_daemon::errors::chain;

use super::reconcile::Context;
use crate::calls::CALL;
use crate::demand::{ControlPlaneConfig, Forgotten, RunnerView};

/// How often to sweep.
const EVERY: Duration = Duration::from_secs(15);
/// The most runners that one sweep forgets at a control plane, so that it ends.
const AT_ONCE: usize = 100;

/// How long a pool's control plane is remembered after the pool was last served: its pods may need their whole grace period to end.
const REMEMBERED: Duration = Duration::from_secs(2 * 3600);

/// Pods, by namespace and name.
type Pods = HashSet<(String, String)>;

/// Sweeps until it is dropped.
pub async fn sweep(context: Arc<Context>) {
    let mut seen = Pods::new();
    loop {
        tokio::time::sleep(EVERY).await;
        let pods: Pods = context
            .pods
            .state()
            .iter()
            .map(|pod| (pod.namespace().unwrap_or_default(), pod.name_any()))
            .collect();
        let gone: Pods = seen.difference(&pods).cloned().collect();
        let mut waiting = once(&context, &pods, &gone).await;
        // Runners that are still busy are asked about again.
        waiting.extend(pods);
        seen = waiting;
    }
}

/// Sweeps once. Returns the pods that are gone and whose runners could not be forgotten yet.
pub(super) async fn once(context: &Context, pods: &Pods, gone: &Pods) -> Pods {
    let mut by_plane: HashMap<ControlPlaneConfig, Vec<String>> = HashMap::new();
    {
        let mut planes = context.planes.lock().unwrap_or_else(PoisonError::into_inner);
        let now = boottime();
        planes.retain(|_, (_, used)| now < *used + REMEMBERED);
        for (pool, (config, _)) in planes.iter() {
            by_plane.entry(config.clone()).or_default().push(pool.clone());
        }
    }
    // At the same time: a silent control plane must not hold up the others.
    let sweeps = by_plane.iter().map(|(config, pools)| of_plane(context, config, pools, pods, gone));
    future::join_all(sweeps).await.into_iter().flatten().collect()
}

async fn of_plane(
    context: &Context,
    config: &ControlPlaneConfig,
    pools: &[String],
    pods: &Pods,
    gone: &Pods,
) -> Pods {
    let reading = context.hub.demand(config, EVERY).await;
    let (Ok(snapshot), Ok(control_plane)) = (&reading.latest, context.hub.control_plane(config)) else {
        return theirs(gone, pools);
    };
    let mut waiting = Pods::new();
    let orphans = snapshot.runners.iter().filter_map(|runner| {
        let pod = orphan(runner, pools, pods)?;
        (!runner.online || gone.contains(&pod)).then_some((runner, pod))
    });
    for (runner, pod) in orphans.take(AT_ONCE) {
        if context.leadership.check(CALL).is_err() {
            return theirs(gone, pools);
        }
        match control_plane.forget(&runner.name).await {
            Ok(Forgotten::Gone) => tracing::debug!(runner = runner.name, "forgot a runner whose pod is gone"),
            Ok(Forgotten::Busy) => {
                waiting.insert(pod);
            }
            Err(error) => {
                let error = chain(&error);
                tracing::warn!(runner = runner.name, %error, "cannot forget a runner whose pod is gone");
                return theirs(gone, pools);
            }
        }
    }
    waiting
}

/// Those that may belong to these pools: they are asked about again.
fn theirs(gone: &Pods, pools: &[String]) -> Pods {
    let of = |(namespace, name): &&(String, String)| {
        pools.iter().any(|pool| {
            let pool = pool.strip_prefix(namespace.as_str()).and_then(|pool| pool.strip_prefix('/'));
            pool.is_some_and(|pool| name.strip_prefix(pool).is_some_and(|rest| rest.starts_with('-')))
        })
    };
    gone.iter().filter(of).cloned().collect()
}

/// Namespace and name of the pod that this runner had, if it belongs to one of these pools and its pod no longer exists.
fn orphan(runner: &RunnerView, pools: &[String], pods: &Pods) -> Option<(String, String)> {
    let pool = runner.pool.as_ref().filter(|pool| pools.contains(pool))?;
    let (namespace, name) = pool.split_once('/')?;
    if !runner.name.strip_prefix(name)?.starts_with('-') {
        return None;
    }
    let pod = (namespace.to_owned(), runner.name.clone());
    (!pods.contains(&pod)).then_some(pod)
}
