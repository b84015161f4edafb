//! Runners whose pods are gone are forgotten, with their fences: names of pods never come again, and a list of runners that are no more helps nobody.
//!
//! Only what is certain is swept: a runner of a pool that this operator serves or has served, named as that pool's pods are, without a pod, and
//! not heard of any more or seen to go. One that holds a run stays until its lease decides.

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, PoisonError};
use std::time::Duration;

use kube::ResourceExt as _;

use super::reconcile::Context;
use crate::demand::{ControlPlaneConfig, Forgotten, RunnerView};

/// How often.
const EVERY: Duration = Duration::from_secs(15);
/// Longest a call may take; a leader must be sure of its Lease for that long.
const CALL: Duration = Duration::from_secs(5);
/// Most runners forgotten at a time, so that a sweep ends.
const AT_ONCE: usize = 100;

/// Sweeps until it is dropped.
pub async fn sweep(context: Arc<Context>) {
    let mut seen: HashSet<(String, String)> = HashSet::new();
    loop {
        tokio::time::sleep(EVERY).await;
        let pods: HashSet<(String, String)> = context
            .pods
            .state()
            .iter()
            .map(|pod| (pod.namespace().unwrap_or_default(), pod.name_any()))
            .collect();
        let gone: HashSet<(String, String)> = seen.difference(&pods).cloned().collect();
        let mut waiting = once(&context, &pods, &gone).await;
        // What is still busy is asked about again.
        waiting.extend(pods);
        seen = waiting;
    }
}

/// Returns the pods that are gone and whose runners could not be forgotten yet.
async fn once(
    context: &Context,
    pods: &HashSet<(String, String)>,
    gone: &HashSet<(String, String)>,
) -> HashSet<(String, String)> {
    let mut waiting = HashSet::new();
    let mut by_plane: HashMap<ControlPlaneConfig, Vec<String>> = HashMap::new();
    for (pool, config) in context.planes.lock().unwrap_or_else(PoisonError::into_inner).iter() {
        by_plane.entry(config.clone()).or_default().push(pool.clone());
    }
    for (config, pools) in by_plane {
        let reading = context.hub.demand(&config, EVERY).await;
        let (Ok(snapshot), Ok(control_plane)) = (&reading.latest, context.hub.control_plane(&config)) else {
            waiting.extend(gone.iter().cloned());
            continue;
        };
        let orphans = snapshot.runners.iter().filter_map(|runner| {
            let pod = orphan(runner, &pools, pods)?;
            (!runner.online || gone.contains(&pod)).then_some((runner, pod))
        });
        for (runner, pod) in orphans.take(AT_ONCE) {
            if context.leadership.check(CALL).is_err() {
                return waiting;
            }
            match control_plane.forget(&runner.name).await {
                Ok(Forgotten::Gone) => {
                    tracing::debug!(runner = runner.name, "forgot a runner whose pod is gone");
                }
                Ok(Forgotten::Busy) => {
                    waiting.insert(pod);
                }
                Err(error) => {
                    tracing::warn!(runner = runner.name, %error, "a runner whose pod is gone could not be forgotten");
                    waiting.insert(pod);
                    break;
                }
            }
        }
    }
    waiting
}

/// Namespace and name of the pod that this runner had, when it is of one of these pools and its pod is no more.
fn orphan(
    runner: &RunnerView,
    pools: &[String],
    pods: &HashSet<(String, String)>,
) -> Option<(String, String)> {
    let pool = runner.pool.as_ref().filter(|pool| pools.contains(pool))?;
    let (namespace, name) = pool.split_once('/')?;
    if !runner.name.strip_prefix(name)?.starts_with('-') {
        return None;
    }
    let pod = (namespace.to_owned(), runner.name.clone());
    (!pods.contains(&pod)).then_some(pod)
}
