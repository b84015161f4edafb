//! Telling people: the status, and Events of problems.

use kube::api::{Patch, PatchParams};
use kube::runtime::reflector::ObjectRef;
use kube::{Api, Resource, ResourceExt as _};
use serde_json::json;

use super::{CALL, Context, ReconcileError, State};
use crate::clock::wall_clock;
use crate::crd::{RunnerPool, RunnerPoolStatus};
use crate::pool_controller::apply::FIELD_MANAGER;
use crate::pool_controller::problems::Problem;
use crate::pool_controller::status;

/// An Event for a problem that was not there before.
pub(super) async fn tell_of(
    object: &impl Resource<DynamicType = ()>,
    context: &Context,
    state: &mut State,
    problem: Option<&Problem>,
) {
    let before = state.problem.as_ref().map(|problem| problem.reason);
    if let Some(problem) = problem.filter(|problem| before != Some(problem.reason)) {
        tracing::warn!(pool = %ObjectRef::<RunnerPool>::new(&object.name_any()).within(&object.namespace().unwrap_or_default()), reason = problem.reason, message = problem.message, "degraded");
        context.teller.problem(object, problem).await;
    }
    state.problem = problem.cloned();
}

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

/// The status as it was written last: what the object shows may be older than that.
pub(super) fn former<'a>(
    shown: Option<&'a RunnerPoolStatus>,
    state: &'a State,
) -> Option<&'a RunnerPoolStatus> {
    state.written.as_ref().or(shown)
}

pub(super) async fn write_status(
    object: &impl Resource<DynamicType = ()>,
    context: &Context,
    state: &mut State,
    shown: Option<&RunnerPoolStatus>,
    said: RunnerPoolStatus,
) -> Result<(), ReconcileError> {
    const WHAT: &str = "the pool's status";
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
        // Of another object of that name it is no status.
        "metadata": { "name": object.name_any(), "uid": object.meta().uid },
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
