//! One reconcile of one pool: dereference → validate → build → apply → status.
//!
//! | file | what |
//! |---|---|
//! | `context` | what reconciles share, what is remembered of each pool, how a reconcile fails |
//! | `dereference` | what the pool refers to: its token, its Deployments and pods |
//! | `kubelet` | ended processes, and why a pod does not start |
//! | `tell` | the status, and Events of problems |

mod context;
mod dereference;
mod kubelet;
mod tell;

use std::sync::atomic::Ordering;
use std::sync::{Arc, PoisonError};
use std::time::{Duration, Instant};

use jiff::{SignedDuration, Timestamp};
use kube::runtime::controller::Action as Requeue;
use kube::runtime::reflector::ObjectRef;
use kube::{Resource, ResourceExt as _};
use minitower_daemon::clock::{boottime, wall_clock};
use minitower_daemon::errors::chain;

use self::dereference::{References, TokenError, dereference, mistyped_service};
use self::tell::{former, refuse, tell_of, tell_of_cluster, tell_of_leaving, tell_of_silence, write_status};
use super::apply::{ApplyError, Done, Executor};
use super::build;
use super::neighbours;
use super::observe::{self, Observation};
use super::plan::{self, Action, Elapsed, Limit, Plan};
use super::pool::Pool;
use super::problems::{self, Problem};
use super::registration;
use super::shield;
use super::standing;
use super::status::{self, Findings};
use super::sweep::Served;
use crate::calls::CALL;
use crate::crd::RunnerPool;
use crate::demand::{ControlPlane, ControlPlaneConfig, ControlPlaneError, Demand, ErrorKind, Reading};
use crate::metrics::Applied;

pub use self::context::{Context, ReconcileError, State};

/// How soon a pool that cannot be served as it is written is tried again: what it lacks may have been created.
const REFUSED_AGAIN: Duration = Duration::from_secs(15);

/// The most pods whose shields one reconcile changes.
const SHIELDS: usize = 50;

/// Looks at a pool, does what is to be done, and reports what was found.
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
        // What is remembered belongs to a former pool of that name.
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
                && let Some(mut problem) = error.problem()
            {
                if let ReconcileError::Pool(error) = &error
                    && let Some(missing) =
                        mistyped_service(error, context.settings.own_service.as_ref()).await
                {
                    problem = missing;
                }
                refuse(&*object, &context, &mut state, object.status.as_ref(), &problem).await?;
                state.failures = 0;
                return Ok(Requeue::requeue(REFUSED_AGAIN));
            }
            state.failures = state.failures.saturating_add(1);
            Err(error)
        }
    }
}

/// Reports an object that is not a `RunnerPool` as this release knows them, such as one kept from another release.
pub async fn unreadable(
    object: &impl Resource<DynamicType = ()>,
    error: &str,
    context: &Context,
) -> Result<Requeue, ReconcileError> {
    let key = ObjectRef::new(&object.name_any()).within(&object.namespace().unwrap_or_default());
    let state = context.state(&key);
    let message =
        format!("the object cannot be read: {error}; apply it again as the CRD of this release defines it");
    let problem = Problem::new("InvalidSpec", message);
    refuse(object, context, &mut *state.lock().await, None, &problem).await?;
    Ok(Requeue::requeue(REFUSED_AGAIN))
}

/// The steps. Returns when the pool is to be looked at again.
async fn once(object: &RunnerPool, context: &Context, state: &mut State) -> Result<Duration, ReconcileError> {
    let References { token, deployments, pods } = dereference(object, context, state).await;
    let pool = Pool::new(object, context.settings.own_service.as_ref())?;
    let rendered = build::render(&pool, &context.settings.runner_image)?;
    let asked = ask(&pool, token, context, state).await;
    let answers = asked.control_plane.as_ref().filter(|_| asked.reading.latest.is_ok());
    let unregistered = registration::provide(&pool, answers, context, &mut state.registration).await?;
    let demand = asked.reading.demand(Instant::now());
    let (now, wall) = (boottime(), wall_clock());
    let mut observation =
        observe::observe(&pool, &rendered.revision, &deployments, &pods, demand, &mut state.expected, now);
    // A property of the cluster, not of the pool.
    let guarded = context.settings.admission_policy && context.policy_seen.load(Ordering::Relaxed);
    observation.observed.guarded = guarded;
    observation.observed.ailing = is_ailing(&pool, &observation, demand, state, wall);
    let plan = plan::plan(&observation.observed, &pool.policy, &state.memory, now);
    let executor = Executor {
        client: &context.client,
        control_plane: asked.control_plane.as_ref(),
        leadership: &context.leadership,
        admission_policy: guarded,
        pool: &pool,
        rendered: &rendered,
        observation: &observation,
    };
    let (done, outcome) = apply(object, context, state, &executor, &plan, &asked.reading, now).await;
    if matches!(outcome, Err(ApplyError::NotLeader(_))) {
        // The next leader writes the status.
        return Ok(outcome.map(|()| pool.policy.poll)?);
    }
    let restored = restore(object, context, &executor, state, now).await;
    raise_shields(context, &executor, demand, state, wall, now).await;
    kubelet::report_endings(context, &observation, asked.control_plane.as_ref(), state).await;
    let creates = plan.actions.iter().any(|action| matches!(action, Action::Create { .. }));
    if creates && outcome.as_ref().is_err_and(ApplyError::is_refused) {
        state.ailing = Some(rendered.revision.clone());
    }
    let outcome = outcome.map_err(ReconcileError::from);
    let refused = outcome.as_ref().err().and_then(ReconcileError::problem);
    let is_missing = asked.missing.is_some();
    let mut problem = asked
        .missing
        .or(unregistered)
        .or(refused)
        .or_else(|| problems::find(&pool, &observation, demand.snapshot(), wall));
    if problem.is_none() {
        problem = kubelet::stuck(&pool, context, state, &observation, now, wall).await;
    }
    tell_of(object, context, state, problem.as_ref()).await;
    // A missing token is a problem of its own.
    let silent = problems::of_control_plane(demand).filter(|_| !is_missing);
    tell_of_silence(object, context, state, silent.as_ref()).await;
    let shared_with = neighbours::told(&pool, &context.neighbours.meet(&pool));
    tell_of_cluster(object, context, state, shared_with.as_ref(), guarded).await;
    tell_of_leaving(object, context, state, &observation.leaving).await;
    let findings = Findings {
        counts: observation.counts,
        leaving: &observation.leaving,
        plan: &plan,
        demand,
        as_of: as_of(demand, wall),
        problem,
        shared_with: shared_with.as_ref(),
        scaled: done.grown > 0 || done.shrunk > 0,
    };
    let said = status::status(&pool, &findings, former(object.status.as_ref(), state), wall);
    standing::tell(&pool, &said, answers, context, &mut state.standing, now).await;
    write_status(object, context, state, object.status.as_ref(), said).await?;
    outcome?;
    restored?;
    Ok(pool.policy.poll)
}

/// Whether the current template does not serve. Once that is known, it holds until a runner of the template serves.
fn is_ailing(
    pool: &Pool,
    observation: &Observation,
    demand: Demand<'_>,
    state: &mut State,
    wall: Timestamp,
) -> bool {
    let observed = &observation.observed;
    let current = observed.revisions.iter().find(|revision| revision.hash == observed.revision);
    let serves = current.is_some_and(|current| current.pods.iter().any(|pod| pod.ready && pod.registered));
    let stuck = || state.stuck.as_ref().and_then(|(_, problem)| problem.clone());
    let found = problems::find(pool, observation, demand.snapshot(), wall).or_else(stuck);
    if found.is_some_and(|problem| problem.is_of_template()) {
        // Also one that is up for a moment before it crashes again.
        state.ailing = Some(observed.revision.clone());
    } else if serves || state.ailing.as_ref().is_some_and(|ailing| *ailing != observed.revision) {
        state.ailing = None;
    }
    state.ailing.is_some()
}

/// What is known of a pool's control plane.
struct Asked {
    reading: Arc<Reading>,
    /// The control plane, if there is a token for it.
    control_plane: Option<ControlPlane>,
    /// Why there is no token.
    missing: Option<Problem>,
}

/// Asks the pool's control plane, or takes the answer that another pool got within this tick.
async fn ask(pool: &Pool, token: Result<String, TokenError>, context: &Context, state: &mut State) -> Asked {
    let token = match token {
        Ok(token) => token,
        Err(error) => {
            let missing = Some(error.problem());
            let error = ControlPlaneError::without_token(&pool.server_url, error);
            let reading = Reading { started_at: Instant::now(), latest: Err(error), last_good: None };
            return Asked { reading: Arc::new(reading), control_plane: None, missing };
        }
    };
    let config =
        ControlPlaneConfig { url: pool.server_url.clone(), token, ca_file: context.settings.ca_file.clone() };
    let reading = context.hub.demand(&config, pool.policy.poll).await;
    if reading.latest.as_ref().is_err_and(|error| error.kind() == ErrorKind::Unauthorized) {
        // The Secret may have been corrected since it was read.
        state.token = None;
    }
    let control_plane = context.hub.control_plane(&config).ok();
    let mut planes = context.planes.lock().unwrap_or_else(PoisonError::into_inner);
    let served = Served { config, team: pool.spec.team.clone(), used: boottime(), revoke: false };
    planes.insert(pool.qualified_name(), served);
    Asked { reading, control_plane, missing: None }
}

/// Carries the plan out, and reports the decision and what was done.
async fn apply(
    object: &RunnerPool,
    context: &Context,
    state: &mut State,
    executor: &Executor<'_>,
    plan: &Plan,
    reading: &Reading,
    now: Elapsed,
) -> (Done, Result<(), ApplyError>) {
    let mut memory = plan.memory.clone();
    let (done, outcome) = executor.carry_out(plan, &mut memory, &mut state.expected, now).await;
    state.memory = memory;
    if matches!(outcome, Err(ApplyError::NotLeader(_))) {
        return (done, outcome);
    }
    let pool = executor.pool;
    context.metrics.applied(&Applied {
        namespace: &pool.namespace,
        pool: &pool.name,
        environment: &pool.spec.environment,
        desired: plan.target,
        held_by_max: matches!(plan.limit, Some(Limit::Max { .. })),
        held_by_min: matches!(plan.limit, Some(Limit::Min { .. })),
        grown: done.grown,
        shrunk: done.shrunk,
        writes: done.writes,
        demand_age: reading.last_good.as_ref().map(|good| good.taken_at.elapsed()),
    });
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
    (done, outcome)
}

/// The time of the last good answer, by the wall clock.
fn as_of(demand: Demand<'_>, wall: Timestamp) -> Option<Timestamp> {
    let age = SignedDuration::try_from(demand.snapshot()?.taken_at.elapsed()).ok()?;
    wall.checked_sub(age).ok()
}

/// Shields pods that have worked for a while, and no others. A failure costs no run and no growth: the next reconcile tries again.
async fn raise_shields(
    context: &Context,
    executor: &Executor<'_>,
    demand: Demand<'_>,
    state: &mut State,
    wall: Timestamp,
    now: Elapsed,
) {
    // What the runners do must be certain, and each write takes time that growth may need.
    if !matches!(demand, Demand::Known(_)) || context.leadership.check(CALL).is_err() {
        return;
    }
    let mut due = shield::due(executor.pool, executor.observation, wall);
    due.truncate(SHIELDS);
    if let Err(error) = executor.shield(&due, &mut state.expected, &mut state.budget, now).await {
        tracing::warn!(pool = executor.pool.qualified_name(), error = %chain(&error), "cannot shield busy pods");
    }
}

/// Undoes what somebody else changed in the current Deployment's template.
async fn restore(
    object: &RunnerPool,
    context: &Context,
    executor: &Executor<'_>,
    state: &mut State,
    now: Elapsed,
) -> Result<(), ApplyError> {
    let observation = executor.observation;
    let settling = observation.observed.revisions.iter().any(|revision| revision.settling);
    let Some(current) = observation.current().filter(|_| !settling) else { return Ok(()) };
    let Some(other) = observe::meddler(current) else { return Ok(()) };
    if state.harmless.is_some() && state.harmless == current.metadata.generation {
        // It owns fields that it has not changed.
        return Ok(());
    }
    let mut done = Done::default();
    let restored = executor.restore(current, &mut state.expected, &mut done, now).await?;
    if !restored {
        state.harmless = current.metadata.generation;
        return Ok(());
    }
    let note = format!(
        "Deployment {} was changed by {other}; the operator restored its template: change spec.runner and spec.template of the RunnerPool instead",
        current.name_any()
    );
    context.teller.note(object, "TemplateRestored", note).await;
    Ok(())
}
