//! The sweep: runners whose pods are gone are forgotten, with their fences. Names of pods are never used again, and nobody needs a list of
//! runners that no longer exist. Until then they are fenced, also those of a pool that no longer exists: nobody else would do it.
//!
//! Only what is certain is swept: a runner of a pool that this operator serves or has served, which is named like that pool's pods and has
//! no pod, and which is offline or whose process was seen to end before its pod went. A pod that was deleted by force goes first, and its
//! process may live on. A runner that holds a run stays until its lease decides.

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, PoisonError};
use std::time::Duration;

use futures_util::future;
use k8s_openapi::api::core::v1::Pod as KubePod;
use kube::ResourceExt as _;
use minitower_daemon::clock::boottime;
use minitower_daemon::errors::chain;

use super::leaving::{has_ended, is_leaving};
use super::observe::container;
use super::plan::Elapsed;
use super::pool::{is_named_after, owner_of};
use super::reconcile::Context;
use crate::calls::CALL;
use crate::demand::{ControlPlane, ControlPlaneConfig, Forgotten, RunnerView};

/// How often to sweep.
const EVERY: Duration = Duration::from_secs(5);
/// The most runners that one sweep forgets at a control plane, so that it ends.
const AT_ONCE: usize = 100;

/// How long a pool's control plane is remembered after the pool was last served and the last of its runners was heard of.
const REMEMBERED: Duration = Duration::from_secs(2 * 3600);

/// A pod, by namespace and name.
pub type PodKey = (String, String);

/// A pool whose runners are swept.
#[derive(Debug, Clone)]
pub struct Served {
    /// Its control plane.
    pub config: ControlPlaneConfig,
    /// The team whose runners it has; none: the platform's.
    pub team: Option<String>,
    /// When the control plane was last asked for it, or last had a runner of it.
    pub used: Elapsed,
    /// The pool is no more, and the registration token that the control plane may have made for it is to be revoked.
    pub revoke: bool,
}

/// The pools of one control plane, by name, and the team whose runners each has.
type Pools = HashMap<String, Option<String>>;

/// What a sweep knows of pods.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub(super) struct Pods {
    /// Those that exist.
    pub(super) present: HashSet<PodKey>,
    /// Of these, those that are on their way out.
    pub(super) leaving: HashSet<PodKey>,
    /// Those that existed at the last sweep, or whose runners could not be dealt with then.
    pub(super) gone: HashSet<PodKey>,
    /// Those whose process was seen to end.
    pub(super) ended: HashSet<PodKey>,
    /// Runners that had no pod at the last sweep already.
    pub(super) without: HashSet<PodKey>,
}

/// What is left to do for the next sweep.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Left {
    /// Pods that are gone and whose runners could not be forgotten yet.
    pub(super) waiting: HashSet<PodKey>,
    /// Runners without a pod.
    pub(super) without: HashSet<PodKey>,
}

/// Sweeps until it is dropped.
pub async fn sweep(context: Arc<Context>) {
    let mut seen = HashSet::<PodKey>::new();
    let mut left = Left::default();
    loop {
        tokio::time::sleep(EVERY).await;
        let state = context.pods.state();
        let keys = |filter: fn(&KubePod) -> bool| -> HashSet<PodKey> {
            state.iter().filter(|pod| filter(pod)).map(|pod| key_of(pod)).collect()
        };
        let present = keys(|_| true);
        let gone: HashSet<PodKey> = seen.difference(&present).chain(&left.waiting).cloned().collect();
        let ended = {
            let mut ended = context.ended.lock().unwrap_or_else(PoisonError::into_inner);
            ended.retain(|pod| present.contains(pod) || gone.contains(pod));
            ended.clone()
        };
        let pods = Pods { leaving: keys(is_leaving), present, gone, ended, without: left.without };
        left = once(&context, &pods).await;
        revoke(&context).await;
        seen = pods.present;
    }
}

/// Notes whether the process of a pod has ended for good: its pod goes after that, unless somebody deletes it by force.
pub fn note(context: &Context, pod: &KubePod) {
    let mut ended = context.ended.lock().unwrap_or_else(PoisonError::into_inner);
    let state = container(pod).and_then(|container| container.state.as_ref());
    if has_ended(pod) || is_leaving(pod) && state.is_none_or(|state| state.running.is_none()) {
        ended.insert(key_of(pod));
    } else {
        ended.remove(&key_of(pod));
    }
}

fn key_of(pod: &KubePod) -> PodKey {
    (pod.namespace().unwrap_or_default(), pod.name_any())
}

/// Sweeps once.
pub(super) async fn once(context: &Context, pods: &Pods) -> Left {
    let mut by_plane: HashMap<ControlPlaneConfig, Pools> = HashMap::new();
    {
        let mut planes = context.planes.lock().unwrap_or_else(PoisonError::into_inner);
        let now = boottime();
        planes.retain(|_, served| now < served.used + REMEMBERED);
        for (pool, Served { config, team, .. }) in planes.iter() {
            by_plane.entry(config.clone()).or_default().insert(pool.clone(), team.clone());
        }
    }
    // At the same time: a silent control plane must not hold up the others.
    let sweeps = by_plane.iter().map(|(config, pools)| of_plane(context, config, pools, pods));
    let mut left = Left::default();
    for (of_plane, pools) in future::join_all(sweeps).await {
        left.waiting.extend(of_plane.waiting);
        left.without.extend(of_plane.without);
        let mut planes = context.planes.lock().unwrap_or_else(PoisonError::into_inner);
        for pool in pools {
            if let Some(served) = planes.get_mut(&pool) {
                served.used = boottime();
            }
        }
    }
    left
}

/// Has pools that are no more forgotten, and their registration tokens revoked. A failure is met by the next sweep.
pub(super) async fn revoke(context: &Context) {
    let due: Vec<(String, ControlPlaneConfig)> = {
        let planes = context.planes.lock().unwrap_or_else(PoisonError::into_inner);
        let due = planes.iter().filter(|(_, served)| served.revoke);
        due.map(|(pool, served)| (pool.clone(), served.config.clone())).collect()
    };
    // At the same time: a silent control plane must not hold up the others.
    future::join_all(due.iter().map(|(pool, config)| revoke_of(context, pool, config))).await;
}

async fn revoke_of(context: &Context, pool: &str, config: &ControlPlaneConfig) {
    let (Some((namespace, name)), Ok(control_plane)) =
        (pool.split_once('/'), context.hub.control_plane(config))
    else {
        return;
    };
    if context.leadership.check(CALL).is_err() {
        return;
    }
    if let Err(error) = control_plane.forget_pool(namespace, name).await {
        tracing::debug!(pool, error = %chain(&error), "the control plane forgets a pool that is no more by itself");
    }
    match control_plane.delete_pool_token(namespace, name).await {
        Ok(()) => {
            let mut planes = context.planes.lock().unwrap_or_else(PoisonError::into_inner);
            if let Some(served) = planes.get_mut(pool) {
                served.revoke = false;
            }
        }
        Err(error) => {
            tracing::warn!(pool, error = %chain(&error), "cannot revoke the registration token of a pool that is no more");
        }
    }
}

/// Returns what is left to do, and the pools that still have runners.
async fn of_plane(
    context: &Context,
    config: &ControlPlaneConfig,
    pools: &Pools,
    pods: &Pods,
) -> (Left, Vec<String>) {
    let reading = context.hub.demand(config, EVERY).await;
    let undone = || Left { waiting: theirs(&pods.gone, pools), without: theirs(&pods.without, pools) };
    let (Ok(snapshot), Ok(control_plane)) = (&reading.latest, context.hub.control_plane(config)) else {
        return (undone(), Vec::new());
    };
    let mut left = Left::default();
    let mut served = HashSet::new();
    let mut forgotten = 0;
    for runner in &snapshot.runners {
        let Some(pod) = pod_of(runner, pools) else { continue };
        served.extend(runner.pool.clone());
        let is_gone = !pods.present.contains(&pod);
        if !is_gone && !pods.leaving.contains(&pod) {
            continue;
        }
        if context.leadership.check(CALL).is_err() {
            return (undone(), Vec::new());
        }
        // A pod that this process has never seen may be one that the watch does not show yet.
        let is_certain = !is_gone || pods.gone.contains(&pod) || pods.without.contains(&pod);
        if is_gone && (!runner.online || pods.gone.contains(&pod) && pods.ended.contains(&pod)) {
            forgotten += 1;
            if forgotten > AT_ONCE {
                left.waiting.insert(pod);
                continue;
            }
            match control_plane.forget(&runner.name).await {
                Ok(Forgotten::Gone) => {
                    tracing::debug!(runner = runner.name, "forgot a runner whose pod is gone");
                }
                // It may hold its run for long.
                Ok(Forgotten::Busy) => {
                    fence(&control_plane, runner).await;
                    left.waiting.insert(pod);
                }
                Err(error) => {
                    let error = chain(&error);
                    tracing::warn!(runner = runner.name, %error, "cannot forget a runner whose pod is gone");
                    return (undone(), Vec::new());
                }
            }
        } else {
            if is_certain {
                fence(&control_plane, runner).await;
            }
            if pods.gone.contains(&pod) {
                left.waiting.insert(pod.clone());
            }
            if is_gone {
                left.without.insert(pod);
            }
        }
    }
    (left, served.into_iter().collect())
}

/// Fences a runner that is on its way out, unless it is fenced. A failure is met by the next sweep.
async fn fence(control_plane: &ControlPlane, runner: &RunnerView) {
    let Some(pool) = runner.pool.as_ref().filter(|_| !runner.draining) else { return };
    if let Err(error) = control_plane.drain(&runner.name, &owner_of(pool)).await {
        tracing::warn!(runner = runner.name, error = %chain(&error), "cannot fence a runner on its way out");
    }
}

/// Those that may belong to these pools: they are asked about again.
fn theirs(gone: &HashSet<PodKey>, pools: &Pools) -> HashSet<PodKey> {
    let of = |(namespace, name): &&PodKey| {
        pools.keys().any(|pool| {
            let pool = pool.strip_prefix(namespace.as_str()).and_then(|pool| pool.strip_prefix('/'));
            pool.is_some_and(|pool| is_named_after(pool, name))
        })
    };
    gone.iter().filter(of).cloned().collect()
}

/// Namespace and name of the pod that this runner has or had, if it belongs to one of these pools.
fn pod_of(runner: &RunnerView, pools: &Pools) -> Option<PodKey> {
    let pool = runner.pool.as_ref()?;
    let team = pools.get(pool)?;
    if !runner.scope.fits(team.as_deref()) {
        return None;
    }
    let (namespace, name) = pool.split_once('/')?;
    if !is_named_after(name, &runner.name) {
        return None;
    }
    Some((namespace.to_owned(), runner.name.clone()))
}
