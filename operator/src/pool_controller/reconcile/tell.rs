//! What a person is told about a pool: its status, and an Event for each new problem.

use kube::api::{Patch, PatchParams};
use kube::runtime::reflector::ObjectRef;
use kube::{Api, Resource, ResourceExt as _};
use minitower_daemon::clock::wall_clock;
use serde_json::json;

use super::context::{Context, ReconcileError, State};
use crate::calls::{self, CALL, CallError, FIELD_MANAGER};
use crate::crd::{RunnerPool, RunnerPoolStatus};
use crate::pool_controller::guard;
use crate::pool_controller::leaving::LeavingRunner;
use crate::pool_controller::problems::Problem;
use crate::pool_controller::status;

/// Writes an Event and a log line for a problem that is new.
pub(super) async fn tell_of(
    object: &impl Resource<DynamicType = ()>,
    context: &Context,
    state: &mut State,
    problem: Option<&Problem>,
) {
    let before = state.problem.as_ref().map(|problem| problem.reason);
    if let Some(problem) = problem.filter(|problem| before != Some(problem.reason)) {
        let pool = ObjectRef::<RunnerPool>::new(&object.name_any());
        let pool = pool.within(&object.namespace().unwrap_or_default());
        tracing::warn!(%pool, reason = problem.reason, message = problem.message, "degraded");
        context.teller.problem(object, problem).await;
    }
    state.problem = problem.cloned();
}

/// Writes an Event and a log line when the control plane cannot be asked any longer, or for another reason than before.
pub(super) async fn tell_of_silence(
    object: &impl Resource<DynamicType = ()>,
    context: &Context,
    state: &mut State,
    problem: Option<&Problem>,
) {
    if let Some(problem) = problem.filter(|problem| state.silent != Some(problem.reason)) {
        tracing::warn!(
            pool = object.name_any(),
            reason = problem.reason,
            message = problem.message,
            "no control plane"
        );
        context.teller.problem(object, problem).await;
    }
    state.silent = problem.map(|problem| problem.reason);
}

/// Writes an Event when another pool comes to serve the same environment, and when the admission policy is found to be missing.
pub(super) async fn tell_of_cluster(
    object: &impl Resource<DynamicType = ()>,
    context: &Context,
    state: &mut State,
    shared_with: Option<&Problem>,
    guarded: bool,
) {
    if let Some(problem) = shared_with.filter(|_| !state.is_shared) {
        context.teller.warn(object, "EnvironmentShared", problem.message.clone()).await;
    }
    state.is_shared = shared_with.is_some();
    let is_missing = context.settings.admission_policy && !guarded;
    if is_missing && !state.is_unguarded {
        context.teller.warn(object, "AdmissionPolicyMissing", guard::MISSING.to_owned()).await;
    }
    state.is_unguarded = is_missing;
}

/// The most Events about runners on their way out that one reconcile writes.
const MAX_TOLD: usize = 10;

/// Writes an Event for each runner that leaves with a run, once.
pub(super) async fn tell_of_leaving(
    object: &impl Resource<DynamicType = ()>,
    context: &Context,
    state: &mut State,
    leaving: &[LeavingRunner],
) {
    let working = || leaving.iter().filter(|runner| runner.busy);
    state.leaving.retain(|told| working().any(|runner| runner.name == *told));
    let news: Vec<_> =
        working().filter(|runner| !state.leaving.contains(&runner.name)).take(MAX_TOLD).collect();
    for runner in news {
        state.leaving.insert(runner.name.clone());
        context.teller.warn(object, "BusyRunnerLeaves", runner.told()).await;
    }
}

/// Tells that a pool cannot be served as it is written.
pub(super) async fn refuse(
    object: &impl Resource<DynamicType = ()>,
    context: &Context,
    state: &mut State,
    shown: Option<&RunnerPoolStatus>,
    problem: &Problem,
) -> Result<(), ReconcileError> {
    tell_of(object, context, state, Some(problem)).await;
    let said = status::refused(object.meta().generation, problem, former(shown, state), wall_clock());
    write_status(object, context, state, shown, said).await
}

/// The status as it was last written: the object may show an older one.
pub(super) fn former<'a>(
    shown: Option<&'a RunnerPoolStatus>,
    state: &'a State,
) -> Option<&'a RunnerPoolStatus> {
    state.written.as_ref().or(shown)
}

/// Writes the status if it differs from the last one.
pub(super) async fn write_status(
    object: &impl Resource<DynamicType = ()>,
    context: &Context,
    state: &mut State,
    shown: Option<&RunnerPoolStatus>,
    said: RunnerPoolStatus,
) -> Result<(), ReconcileError> {
    context.metrics.told(&object.namespace().unwrap_or_default(), &object.name_any(), &said);
    if former(shown, state).is_some_and(|former| status::says_the_same(former, &said)) {
        state.written.get_or_insert(said);
        return Ok(());
    }
    context.leadership.check(CALL)?;
    let namespace = object.namespace().unwrap_or_default();
    let api: Api<RunnerPool> = Api::namespaced(context.client.clone(), &namespace);
    let patch = json!({
        "apiVersion": "minitower.dev/v1alpha1",
        "kind": "RunnerPool",
        // Another object of that name must not get this status.
        "metadata": { "name": object.name_any(), "uid": object.meta().uid },
        "status": said,
    });
    let params = PatchParams::apply(FIELD_MANAGER).force();
    let (name, patch) = (object.name_any(), Patch::Apply(&patch));
    let call = api.patch_status(&name, &params, &patch);
    match calls::call(call).await {
        Ok(_) => {
            context.metrics.status_written();
            state.written = Some(said);
            Ok(())
        }
        // The pool was deleted, and perhaps created again: there is nobody to tell.
        Err(error) if error.is_not_found() || matches!(error, CallError::Conflict) => Ok(()),
        Err(source) => Err(ReconcileError::Call { what: "write the pool's status", source }),
    }
}
