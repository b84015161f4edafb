//! What the kubelet reports: processes that have ended, for the control plane, and Events that explain why a pod does not start.

use std::time::Duration;

use futures_util::future;
use jiff::Timestamp;
use k8s_openapi::api::core::v1::Event as KubeEvent;
use kube::api::ListParams;
use kube::{Api, ResourceExt as _};
use minitower_daemon::errors::chain;

use super::context::{Context, State};
use crate::calls::{self, CALL};
use crate::demand::ControlPlane;
use crate::pool_controller::observe::Observation;
use crate::pool_controller::plan::Elapsed;
use crate::pool_controller::pool::Pool;
use crate::pool_controller::problems::{self, Problem};

/// How often the Events of a pod that does not start are read.
const EVENTS_EVERY: Duration = Duration::from_secs(15);
/// The most Events that are read of a pod.
const MAX_EVENTS: u32 = 50;

/// Tells the control plane about processes that the kubelet saw end, each one once.
pub(super) async fn report_endings(
    context: &Context,
    observation: &Observation,
    control_plane: Option<&ControlPlane>,
    state: &mut State,
) {
    let Some(control_plane) = control_plane else { return };
    if context.leadership.check(CALL).is_err() {
        return;
    }
    state.ended.retain(|told| observation.endings.contains(told));
    let news: Vec<_> = observation.endings.iter().filter(|e| !state.ended.contains(e)).cloned().collect();
    let reports = news.into_iter().map(|ending| {
        let control_plane = control_plane.clone();
        async move {
            let answer = control_plane.ended(&ending.runner, &ending.instance_id, &ending.reason).await;
            (ending, answer)
        }
    });
    for (ending, answer) in future::join_all(reports).await {
        match answer {
            Ok(_) => {
                tracing::info!(
                    runner = ending.runner,
                    reason = ending.reason,
                    "reported the end of a runner"
                );
                state.ended.push(ending);
            }
            // The next reconcile reports it again. Until then the lease decides.
            Err(error) => {
                tracing::warn!(runner = ending.runner, error = %chain(&error), "cannot report the end of a runner");
            }
        }
    }
}

/// Why a pod does not start, from its Events. They are read now and then, while there is such a pod.
pub(super) async fn stuck(
    pool: &Pool,
    context: &Context,
    state: &mut State,
    observation: &Observation,
    now: Elapsed,
    wall: Timestamp,
) -> Option<Problem> {
    let Some(pod) = problems::stuck_in_creation(observation, wall) else {
        state.stuck = None;
        return None;
    };
    if let Some((read, problem)) = &state.stuck
        && now < *read + EVENTS_EVERY
    {
        return problem.clone();
    }
    let name = pod.name_any();
    let words = newest_warning(context, &pool.namespace, &name).await;
    let problem = words.map(|words| problems::not_starting(pool, &name, &words));
    state.stuck = Some((now, problem.clone()));
    problem
}

async fn newest_warning(context: &Context, namespace: &str, pod: &str) -> Option<String> {
    let api: Api<KubeEvent> = Api::namespaced(context.client.clone(), namespace);
    let selector = format!("involvedObject.kind=Pod,involvedObject.name={pod},type=Warning");
    let listed = calls::call(api.list(&ListParams::default().fields(&selector).limit(MAX_EVENTS))).await;
    let events = listed
        .inspect_err(|error| tracing::warn!(error = %chain(error), pod, "cannot read the Events of a pod"))
        .ok()?;
    let time = |event: &KubeEvent| {
        let last = event.last_timestamp.as_ref().map(|time| time.0);
        last.or(event.event_time.as_ref().map(|time| time.0))
    };
    events.items.into_iter().max_by_key(time)?.message
}
