//! What the kubelet tells in Events alone.

use std::time::Duration;

use jiff::Timestamp;
use k8s_openapi::api::core::v1::Event as KubeEvent;
use kube::api::ListParams;
use kube::{Api, ResourceExt as _};

use super::{CALL, Context, State};
use crate::pool_controller::observe::Observation;
use crate::pool_controller::plan::Elapsed;
use crate::pool_controller::pool::Pool;
use crate::pool_controller::problems::{self, Problem};

/// How often the events of a pod that does not start are read.
const EVENTS_EVERY: Duration = Duration::from_secs(15);

/// What a pod's events say of why it does not start; read now and then, while there is such a pod.
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
    let api: Api<KubeEvent> = Api::namespaced(context.client.clone(), &pool.namespace);
    let selector = format!("involvedObject.kind=Pod,involvedObject.name={name},type=Warning");
    let listed =
        tokio::time::timeout(CALL, api.list(&ListParams::default().fields(&selector).limit(50))).await;
    let problem = match listed {
        Ok(Ok(events)) => {
            let newest = events.items.into_iter().max_by_key(|event| {
                event
                    .last_timestamp
                    .as_ref()
                    .map(|time| time.0)
                    .or(event.event_time.as_ref().map(|time| time.0))
            });
            newest.and_then(|event| event.message).map(|words| {
                let message = format!(
                    "pod {name} does not start: {words}; check that the Secrets, ConfigMaps and volumes named in the spec exist in namespace {}",
                    pool.namespace
                );
                Problem::new("PodNotStarting", message)
            })
        }
        Ok(Err(error)) => {
            tracing::warn!(%error, pod = name, "its events could not be read");
            None
        }
        Err(_) => None,
    };
    state.stuck = Some((now, problem.clone()));
    problem
}
