//! One pool, once: from what is there to what is told.

mod context;
mod error;
mod pod_events;
mod tell;
mod token;

use std::sync::atomic::Ordering;
use std::sync::{Arc, PoisonError};
use std::time::{Duration, Instant};

use futures_util::future;
use jiff::{SignedDuration, Timestamp};
use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::core::v1::Pod as KubePod;
use kube::runtime::controller::Action as Requeue;
use kube::runtime::reflector::ObjectRef;
use kube::{Resource, ResourceExt as _};

pub use self::context::{Context, State};
pub use self::error::ReconcileError;
use self::tell::{former, refuse, tell_of, write_status};
use super::apply::{ApplyError, Done, Hands};
use super::build;
use super::observe::{self, Observation};
use super::plan::{self, Elapsed};
use super::pool::{POOL_LABEL, Pool};
use super::problems::{self, Problem};
use super::status::{self, Findings};
use crate::clock::{boottime, wall_clock};
use crate::crd::RunnerPool;
use crate::demand::{ControlPlane, ControlPlaneConfig, ControlPlaneError, Demand, ErrorKind, Reading};

/// Longest a call to the API server outside of a plan may take; a leader must be sure of its Lease for that long.
const CALL: Duration = Duration::from_secs(5);
/// How soon a pool that cannot be served as it is written is looked at again: what it misses may be made.
const REFUSED_AGAIN: Duration = Duration::from_secs(15);

/// Looks at a pool, does what is to be done, says what was found.
pub async fn reconcile(object: Arc<RunnerPool>, context: Arc<Context>) -> Result<Requeue, ReconcileError> {
    let key = ObjectRef::from_obj(&*object);
    if object.metadata.deletion_timestamp.is_some() {
        context.forget(&key);
        return Ok(Requeue::await_change());
    }
    context.leadership.check(Duration::ZERO)?;
    context.stores_whole().await?;
    let started = Instant::now();
    let state = context.state(&key);
    let mut state = state.lock().await;
    if state.uid != object.metadata.uid {
        // What is remembered of another pool of that name is nothing to this one.
        *state = State { uid: object.metadata.uid.clone(), ..State::default() };
    }
    let outcome = Box::pin(once(&object, &context, &mut state)).await;
    context.metrics.reconciled(started.elapsed(), outcome.as_ref().err().map(ReconcileError::stage));
    match outcome {
        Ok(again) => {
            state.failures = 0;
            Ok(Requeue::requeue(again))
        }
        Err(error) => {
            if matches!(error, ReconcileError::Pool(_) | ReconcileError::Build(_))
                && let Some(problem) = error.problem()
            {
                refuse(&*object, &context, &mut state, object.status.as_ref(), &problem).await?;
                state.failures = 0;
                return Ok(Requeue::requeue(REFUSED_AGAIN));
            }
            state.failures = state.failures.saturating_add(1);
            Err(error)
        }
    }
}

/// Tells of an object that is no `RunnerPool` as this release knows them: one kept from another release, say.
pub async fn unreadable(
    object: &impl Resource<DynamicType = ()>,
    error: &str,
    context: &Context,
) -> Result<Requeue, ReconcileError> {
    let key = ObjectRef::new(&object.name_any()).within(&object.namespace().unwrap_or_default());
    let state = context.state(&key);
    let message =
        format!("the object cannot be read: {error}; apply it anew as the CRD of this release has it");
    let problem = Problem::new("InvalidSpec", message);
    refuse(object, context, &mut *state.lock().await, None, &problem).await?;
    Ok(Requeue::requeue(REFUSED_AGAIN))
}

async fn once(object: &RunnerPool, context: &Context, state: &mut State) -> Result<Duration, ReconcileError> {
    let pool = Pool::new(object, context.settings.own_service.as_ref())?;
    let rendered = build::render(&pool, &context.settings.runner_image)?;
    let Asked { reading, control_plane, missing } = ask(&pool, context, state).await;
    let demand = reading.demand(Instant::now());
    let now = boottime();
    let wall = wall_clock();
    let (deployments, pods) = owned(&pool, context);
    let guarded = context.settings.admission_policy && context.policy_seen.load(Ordering::Relaxed);
    let mut observation =
        observe::observe(&pool, &rendered.revision, &deployments, &pods, demand, &mut state.expected, now);
    // A thing of the cluster, not of the pool.
    observation.observed.guarded = guarded;
    let plan = plan::plan(&observation.observed, &pool.policy, &state.memory, now);
    let mut memory = plan.memory.clone();
    let hands = Hands {
        client: &context.client,
        control_plane: control_plane.as_ref(),
        leadership: &context.leadership,
        admission_policy: guarded,
        pool: &pool,
        rendered: &rendered,
        observation: &observation,
    };
    let (done, outcome) = hands.carry_out(&plan, &mut memory, &mut state.expected, now).await;
    state.memory = memory;
    let outcome = outcome.map_err(ReconcileError::from);
    if matches!(outcome, Err(ReconcileError::Apply(ApplyError::NotLeader(_)))) {
        // The next leader tells.
        return outcome.map(|()| pool.policy.poll);
    }
    let age = reading.last_good.as_ref().map(|good| good.taken_at.elapsed());
    context.metrics.applied(&pool, &plan, &done, age);
    if let Some(decision) = &plan.decision {
        context.teller.decision(object, decision).await;
        tracing::info!(
            pool = pool.qualified_name(),
            from = decision.from,
            to = decision.to,
            reason = %decision.reason,
            "scaled"
        );
    }
    let restored = restore(object, context, &hands, state, now).await;
    report_endings(context, &observation, control_plane.as_ref(), state).await;
    let refused = outcome.as_ref().err().and_then(ReconcileError::problem);
    let mut problem =
        missing.or(refused).or_else(|| problems::find(&pool, &observation, demand.snapshot(), wall));
    if problem.is_none() {
        problem = pod_events::stuck(&pool, context, state, &observation, now, wall).await;
    }
    tell_of(object, context, state, problem.as_ref()).await;
    let findings = Findings {
        counts: observation.counts,
        plan: &plan,
        demand,
        as_of: as_of(demand, wall),
        problem,
        scaled: done.grown > 0 || done.shrunk > 0,
    };
    let said = status::status(&pool, &findings, former(object.status.as_ref(), state), wall);
    write_status(object, context, state, object.status.as_ref(), said).await?;
    outcome?;
    restored?;
    Ok(pool.policy.poll)
}

/// What is known of a pool's control plane.
struct Asked {
    reading: Arc<Reading>,
    /// To be called, when there is a token for it.
    control_plane: Option<ControlPlane>,
    /// Why there is none.
    missing: Option<Problem>,
}

/// Asks the pool's control plane, or takes what it has answered another pool in this tick.
async fn ask(pool: &Pool, context: &Context, state: &mut State) -> Asked {
    let token = match token::token(pool, context, state).await {
        Ok(token) => token,
        Err(problem) => {
            let error = ControlPlaneError::new(&pool.server_url, ErrorKind::Configuration, &problem.message);
            let reading = Reading { started_at: Instant::now(), latest: Err(error), last_good: None };
            return Asked { reading: Arc::new(reading), control_plane: None, missing: Some(problem) };
        }
    };
    let config =
        ControlPlaneConfig { url: pool.server_url.clone(), token, ca_file: context.settings.ca_file.clone() };
    let reading = context.hub.demand(&config, pool.policy.poll).await;
    if reading.latest.as_ref().is_err_and(|error| error.kind() == ErrorKind::Unauthorized) {
        // The Secret may have been mended since it was read.
        state.token = None;
    }
    let control_plane = context.hub.control_plane(&config).ok();
    let mut planes = context.planes.lock().unwrap_or_else(PoisonError::into_inner);
    planes.insert(pool.qualified_name(), (config, boottime()));
    Asked { reading, control_plane, missing: None }
}

fn owned(pool: &Pool, context: &Context) -> (Vec<Arc<Deployment>>, Vec<Arc<KubePod>>) {
    let mut deployments = context.deployments.state();
    deployments.retain(|d| d.namespace().as_deref() == Some(&pool.namespace));
    let mut pods = context.pods.state();
    pods.retain(|pod| {
        pod.namespace().as_deref() == Some(&pool.namespace)
            && pod.labels().get(POOL_LABEL) == Some(&pool.name)
    });
    (deployments, pods)
}

fn as_of(demand: Demand<'_>, wall: Timestamp) -> Option<Timestamp> {
    let age = SignedDuration::try_from(demand.snapshot()?.taken_at.elapsed()).ok()?;
    wall.checked_sub(age).ok()
}

/// Takes back what somebody else changed in the current Deployment's template.
async fn restore(
    object: &RunnerPool,
    context: &Context,
    hands: &Hands<'_>,
    state: &mut State,
    now: Elapsed,
) -> Result<(), ApplyError> {
    let observation = hands.observation;
    let settling = observation.observed.revisions.iter().any(|revision| revision.settling);
    let Some(current) = observation.current().filter(|_| !settling) else { return Ok(()) };
    let Some(other) = observe::meddler(current) else { return Ok(()) };
    if state.harmless.is_some() && state.harmless == current.metadata.generation {
        // It owns what it has not changed.
        return Ok(());
    }
    let mut done = Done::default();
    let restored = hands.restore(current, &mut state.expected, &mut done, now).await?;
    if !restored {
        state.harmless = current.metadata.generation;
        return Ok(());
    }
    let note = format!(
        "Deployment {} was changed by {other}; its template is that of the RunnerPool again: change spec.runner and spec.template instead",
        current.name_any()
    );
    context.teller.note(object, "TemplateRestored", note).await;
    Ok(())
}

/// Tells the control plane of processes that the kubelet saw end; each once.
async fn report_endings(
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
            // Reported again with the next look; until then the lease decides.
            Err(error) => {
                tracing::warn!(runner = ending.runner, %error, "the end of a runner was not reported");
            }
        }
    }
}
