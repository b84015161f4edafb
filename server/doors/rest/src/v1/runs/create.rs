//! What changes a run from outside: putting one into the queue, and asking for its end.

use axum::extract::State;
use http::StatusCode;
use minitower_runs::CreateRun as NewRun;
use minitower_runs::domain::retry::Wanted;
use minitower_teams::team::TeamPrincipal;
use minitower_vocabulary::wire::runs::{CreateRun, Retry, Run};

use crate::auth::Caller;
use crate::extract::{Json, OptionalJson, Path};
use crate::openapi::errors;
use crate::v1::params::{AppPath, RunPath};
use crate::{ApiError, HttpState, render};

errors! { CreateErrors {
    InvalidRequest: "A field breaks a rule, or the input does not match the version's schema.",
    NoVersion: "The app has no version to run.",
    NotFound: "The team has no such app, or the app has no such version.",
    Conflict: "The app is disabled, or the team is at a limit: of queued runs, of environments or of storage.",
    RateLimited: "The team has created as many runs today as its limits allow.",
} }

/// Creates a run.
///
/// The run waits in the queue of its environment until a runner takes it. The input is a JSON object of at most
/// 120 KiB. The server checks it against the version's schema and fills in the schema's defaults.
#[utoipa::path(post, path = "/api/v1/apps/{app}/runs", operation_id = "create_run", tag = "Runs",
    params(AppPath), request_body = Option<CreateRun>,
    responses((status = 201, description = "The new run.", body = Run), CreateErrors))]
pub(crate) async fn create(
    State(state): State<HttpState>,
    Caller(caller): Caller<TeamPrincipal>,
    Path(path): Path<AppPath>,
    OptionalJson(body): OptionalJson<CreateRun>,
) -> Result<(StatusCode, Json<Run>), ApiError> {
    let CreateRun { input, version_no, priority, max_retries, retry, timeout_seconds, environment } = body;
    let retry = retry.map(wanted);
    let new = NewRun { input, version_no, priority, max_retries, retry, timeout_seconds, environment };
    let run = state.runs().create_run(&caller, path.app, new).await?;
    Ok((StatusCode::CREATED, Json(render::run(run)?)))
}

fn wanted(retry: Retry) -> Wanted {
    let Retry { max_attempts, on, backoff_initial_ms, backoff_multiplier, backoff_max_ms } = retry;
    Wanted { max_attempts, on, backoff_initial_ms, backoff_multiplier, backoff_max_ms }
}

errors! { CancelErrors { NotFound: "The team has no such run.", } }

/// Cancels a run.
///
/// A queued run ends at once. A run that a runner holds becomes `cancelling` until the runner has stopped the job.
/// A run that has ended stays as it is. Repeating the call changes nothing.
#[utoipa::path(post, path = "/api/v1/runs/{run}/cancel", operation_id = "cancel_run", tag = "Runs",
    params(RunPath),
    responses((status = 200, description = "The run after the call.", body = Run), CancelErrors))]
pub(crate) async fn cancel(
    State(state): State<HttpState>,
    Caller(caller): Caller<TeamPrincipal>,
    Path(path): Path<RunPath>,
) -> Result<Json<Run>, ApiError> {
    Ok(Json(render::run(state.runs().cancel_run(&caller, path.id()).await?)?))
}
