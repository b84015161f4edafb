//! One pool, once: from what is there to what is told.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use futures_util::future;
use jiff::{SignedDuration, Timestamp};
use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::core::v1::{Event as KubeEvent, Pod as KubePod, Secret};
use kube::api::{ListParams, Patch, PatchParams};
use kube::runtime::controller::Action as Requeue;
use kube::runtime::reflector::{ObjectRef, Store};
use kube::{Api, Client, ResourceExt as _};
use serde_json::json;

use super::apply::{ApplyError, FIELD_MANAGER, Hands};
use super::build::{self, BuildError};
use super::events::Teller;
use super::observe::{self, Ending, Expected, Observation};
use super::plan::{self, Elapsed};
use super::pool::{POOL_LABEL, Pool, PoolError, TokenSource};
use super::problems::{self, Problem};
use super::status::{self, Findings};
use crate::clock::{boottime, wall_clock};
use crate::crd::{RunnerPool, RunnerPoolStatus};
use crate::demand::{ControlPlane, ControlPlaneConfig, ControlPlaneError, Demand, ErrorKind, Hub, Reading};
use crate::leader::{Leadership, NotLeader};
use crate::metrics::Metrics;
use crate::settings::Settings;

/// How long a token read from a Secret is used before it is read again.
const TOKEN_AGE: Duration = Duration::from_secs(60);
/// How often the events of a pod that does not start are read.
const EVENTS_EVERY: Duration = Duration::from_secs(15);
/// Longest a call to the API server outside of a plan may take.
const CALL: Duration = Duration::from_secs(5);
/// How soon a pool that cannot be served as it is written is looked at again: what it misses may be made.
const REFUSED_AGAIN: Duration = Duration::from_secs(15);

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
    /// Who tells Events.
    pub teller: Teller,
    /// Deployments as the watch has them.
    pub deployments: Store<Deployment>,
    /// Pods as the watch has them.
    pub pods: Store<KubePod>,
    /// What is remembered of each pool.
    pub states: Mutex<HashMap<ObjectRef<RunnerPool>, Arc<tokio::sync::Mutex<State>>>>,
    /// Control planes that were asked, and their pools' names: the sweep forgets runners there.
    pub planes: Mutex<HashMap<String, ControlPlaneConfig>>,
}

/// What is remembered of a pool between two looks; lost with the process, at no harm.
#[derive(Default)]
pub struct State {
    memory: plan::Memory,
    expected: Expected,
    token: Option<(TokenSource, String, Elapsed)>,
    written: Option<RunnerPoolStatus>,
    problem: Option<Problem>,
    stuck: Option<(Elapsed, Option<Problem>)>,
    ended: Vec<Ending>,
    /// Failures in a row.
    pub failures: u32,
}

/// Why a pool could not be served.
#[derive(Debug, thiserror::Error)]
pub enum ReconcileError {
    /// It is not written so that it can be served.
    #[error(transparent)]
    Pool(#[from] PoolError),
    /// Its template is not one.
    #[error(transparent)]
    Build(#[from] BuildError),
    /// A step of the plan failed.
    #[error(transparent)]
    Apply(#[from] ApplyError),
    /// Another replica leads now.
    #[error(transparent)]
    NotLeader(#[from] NotLeader),
    /// The API server failed.
    #[error("{what}: {source}")]
    Kube {
        /// What was called.
        what: &'static str,
        /// How.
        source: Box<kube::Error>,
    },
    /// The API server did not answer in time.
    #[error("{0}: no answer of the API server within {CALL:?}")]
    Timeout(&'static str),
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
            Self::Kube { .. } | Self::Timeout(_) => "api",
        }
    }

    fn problem(&self) -> Option<Problem> {
        let reason = match self {
            Self::Pool(error) => error.as_reason(),
            Self::Build(_) => "InvalidTemplate",
            Self::Apply(ApplyError::NameTaken { .. }) => "NameTaken",
            Self::Apply(ApplyError::Refused { .. }) => "DeploymentRefused",
            _ => return None,
        };
        Some(Problem::new(reason, self.to_string()))
    }
}

impl Context {
    /// What is remembered of that pool.
    pub fn state(&self, of: &ObjectRef<RunnerPool>) -> Arc<tokio::sync::Mutex<State>> {
        let mut states = self.states.lock().unwrap_or_else(PoisonError::into_inner);
        Arc::clone(states.entry(of.clone()).or_default())
    }

    /// Waits until the watches have brought what there is: before that nothing is decided.
    async fn stores_whole(&self) -> Result<(), ReconcileError> {
        let whole = future::join(self.deployments.wait_until_ready(), self.pods.wait_until_ready());
        match tokio::time::timeout(CALL, whole).await {
            Ok((Ok(()), Ok(()))) => Ok(()),
            // The controller ends, or the API server is silent.
            _ => Err(ReconcileError::Timeout("the first lists of Deployments and pods")),
        }
    }

    /// Forgets a pool that is no more.
    pub fn forget(&self, of: &ObjectRef<RunnerPool>) {
        self.states.lock().unwrap_or_else(PoisonError::into_inner).remove(of);
    }
}

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
    let outcome = Box::pin(once(&object, &context, &mut state)).await;
    context.metrics.reconciled(started.elapsed(), outcome.as_ref().err().map(ReconcileError::stage));
    match outcome {
        Ok(again) => {
            state.failures = 0;
            Ok(Requeue::requeue(again))
        }
        Err(error) => {
            if let Some(problem) = error.problem() {
                refuse(&object, &context, &mut state, &problem).await?;
            }
            if matches!(error, ReconcileError::Pool(_) | ReconcileError::Build(_)) {
                state.failures = 0;
                return Ok(Requeue::requeue(REFUSED_AGAIN));
            }
            state.failures = state.failures.saturating_add(1);
            Err(error)
        }
    }
}

async fn once(object: &RunnerPool, context: &Context, state: &mut State) -> Result<Duration, ReconcileError> {
    let pool = Pool::new(object, context.settings.own_service.as_ref())?;
    let rendered = build::render(&pool, &context.settings.runner_image)?;
    let token = token(&pool, context, state).await;
    let (reading, control_plane, missing) = match token {
        Ok(token) => {
            let config = ControlPlaneConfig {
                url: pool.server_url.clone(),
                token,
                ca_file: context.settings.ca_file.clone(),
            };
            let reading = context.hub.demand(&config, pool.policy.poll).await;
            if reading.latest.as_ref().is_err_and(|error| error.kind() == ErrorKind::Unauthorized) {
                // The Secret may have been mended since it was read.
                state.token = None;
            }
            let control_plane = context.hub.control_plane(&config).ok();
            context
                .planes
                .lock()
                .unwrap_or_else(PoisonError::into_inner)
                .insert(pool.qualified_name(), config);
            (reading, control_plane, None)
        }
        Err(problem) => (unread(&pool, &problem), None, Some(problem)),
    };
    let demand = reading.demand(Instant::now());
    let now = boottime();
    let wall = wall_clock();
    let (deployments, pods) = owned(&pool, context);
    let observation =
        observe::observe(&pool, &rendered.revision, &deployments, &pods, demand, &mut state.expected, now);
    let plan = plan::plan(&observation.observed, &pool.policy, &state.memory, now);
    let mut memory = plan.memory.clone();
    let hands = Hands {
        client: &context.client,
        control_plane: control_plane.as_ref(),
        leadership: &context.leadership,
        admission_policy: context.settings.admission_policy,
        pool: &pool,
        rendered: &rendered,
        observation: &observation,
    };
    let (done, outcome) = hands.carry_out(&plan, &mut memory, &mut state.expected, now).await;
    state.memory = memory;
    context.metrics.applied(&pool, &plan, &done, demand.snapshot().map(|s| s.taken_at.elapsed()));
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
    report_endings(&observation, control_plane.as_ref(), state).await;
    let mut problem = missing.or_else(|| problems::find(&pool, &observation, demand.snapshot(), wall));
    if problem.is_none() {
        problem = stuck(&pool, context, state, &observation, now, wall).await;
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
    let said = status::status(&pool, &findings, former(object, state), wall);
    write_status(object, context, state, said).await?;
    outcome?;
    restored?;
    Ok(pool.policy.poll)
}

/// What a control plane says that cannot be asked for want of a token.
fn unread(pool: &Pool, problem: &Problem) -> Arc<Reading> {
    let error = ControlPlaneError::new(&pool.server_url, ErrorKind::Configuration, &problem.message);
    Arc::new(Reading { started_at: Instant::now(), latest: Err(error), last_good: None })
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

/// The operator's token for the pool's control plane, or why there is none.
async fn token(pool: &Pool, context: &Context, state: &mut State) -> Result<String, Problem> {
    let TokenSource::Secret { name, key } = &pool.token else {
        return context.settings.own.as_ref().map(|own| own.token.clone()).ok_or_else(|| {
            Problem::new(
                "OperatorTokenMissing",
                "the operator has no control plane of its own: set MINITOWER_SERVER_URL and its token",
            )
        });
    };
    let now = boottime();
    if let Some((source, token, read)) = &state.token
        && *source == pool.token
        && now < *read + TOKEN_AGE
    {
        return Ok(token.clone());
    }
    state.token = None;
    let at = format!("spec.operatorTokenSecretRef: Secret {}/{name}", pool.namespace);
    let api: Api<Secret> = Api::namespaced(context.client.clone(), &pool.namespace);
    let secret = match tokio::time::timeout(CALL, api.get_opt(name)).await {
        Ok(Ok(Some(secret))) => secret,
        Ok(Ok(None)) => {
            return Err(Problem::new("OperatorTokenMissing", format!("{at} does not exist: make it")));
        }
        Ok(Err(error)) => {
            return Err(Problem::new("OperatorTokenMissing", format!("{at} cannot be read: {error}")));
        }
        Err(_) => {
            return Err(Problem::new(
                "OperatorTokenMissing",
                format!("{at} cannot be read: no answer within {CALL:?}"),
            ));
        }
    };
    let value = secret.data.as_ref().and_then(|data| data.get(key));
    let token = value.and_then(|value| std::str::from_utf8(&value.0).ok()).map(str::trim).unwrap_or_default();
    if token.is_empty() {
        return Err(Problem::new(
            "OperatorTokenMissing",
            format!("{at} has no key {key} with a token in it"),
        ));
    }
    state.token = Some((pool.token.clone(), token.to_owned(), now));
    Ok(token.to_owned())
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
    let mut done = super::apply::Done::default();
    hands.restore(current, &mut state.expected, &mut done, now).await?;
    let note = format!(
        "Deployment {} was changed by {other}; its template is that of the RunnerPool again: change spec.runner and spec.template instead",
        current.name_any()
    );
    context.teller.note(object, "TemplateRestored", note).await;
    Ok(())
}

/// Tells the control plane of processes that the kubelet saw end; each once.
async fn report_endings(observation: &Observation, control_plane: Option<&ControlPlane>, state: &mut State) {
    let Some(control_plane) = control_plane else { return };
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

/// What a pod's events say of why it does not start; read now and then, while there is such a pod.
async fn stuck(
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

/// An Event for a problem that was not there before.
async fn tell_of(object: &RunnerPool, context: &Context, state: &mut State, problem: Option<&Problem>) {
    let before = state.problem.as_ref().map(|problem| problem.reason);
    if let Some(problem) = problem.filter(|problem| before != Some(problem.reason)) {
        tracing::warn!(pool = %ObjectRef::from_obj(object), reason = problem.reason, message = problem.message, "degraded");
        context.teller.problem(object, problem).await;
    }
    state.problem = problem.cloned();
}

async fn refuse(
    object: &RunnerPool,
    context: &Context,
    state: &mut State,
    problem: &Problem,
) -> Result<(), ReconcileError> {
    tell_of(object, context, state, Some(problem)).await;
    let said = status::refused(object.metadata.generation, problem, former(object, state), wall_clock());
    write_status(object, context, state, said).await
}

/// The status as it was written last: the object may be older than that.
fn former<'a>(object: &'a RunnerPool, state: &'a State) -> Option<&'a RunnerPoolStatus> {
    state.written.as_ref().or(object.status.as_ref())
}

async fn write_status(
    object: &RunnerPool,
    context: &Context,
    state: &mut State,
    said: RunnerPoolStatus,
) -> Result<(), ReconcileError> {
    const WHAT: &str = "the pool's status";
    if former(object, state).is_some_and(|former| status::says_the_same(former, &said)) {
        state.written.get_or_insert(said);
        return Ok(());
    }
    context.leadership.check(CALL)?;
    let namespace = object.namespace().unwrap_or_default();
    let api: Api<RunnerPool> = Api::namespaced(context.client.clone(), &namespace);
    let patch = json!({
        "apiVersion": "minitower.dev/v1alpha1",
        "kind": "RunnerPool",
        // Of another object of that name it is no status.
        "metadata": { "name": object.name_any(), "uid": object.metadata.uid },
        "status": said,
    });
    let params = PatchParams::apply(FIELD_MANAGER).force();
    let (name, patch) = (object.name_any(), Patch::Apply(&patch));
    let call = api.patch_status(&name, &params, &patch);
    match tokio::time::timeout(CALL, call).await {
        Ok(Ok(_)) => {
            context.metrics.status_written();
            state.written = Some(said);
            Ok(())
        }
        // Deleted, and perhaps made anew: there is nobody to tell.
        Ok(Err(kube::Error::Api(error))) if matches!(error.code, 404 | 409) => Ok(()),
        Ok(Err(error)) => Err(ReconcileError::Kube { what: WHAT, source: Box::new(error) }),
        Err(_) => Err(ReconcileError::Timeout(WHAT)),
    }
}
