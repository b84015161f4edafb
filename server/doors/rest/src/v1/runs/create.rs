//! What changes a run from outside: putting one into the queue, asking for its end, and deleting it.

use axum::extract::State;
use http::{HeaderMap, StatusCode};
use minitower_runs::domain::after as domain;
use minitower_runs::domain::retry::Wanted;
use minitower_runs::{CreateRun as NewRun, Created, Idempotency};
use minitower_teams::team::TeamPrincipal;
use minitower_vocabulary::ids::RunId;
use minitower_vocabulary::wire::apps::Concurrency;
use minitower_vocabulary::wire::runs::{After, AfterOn, CreateRun, Retry, Run};
use serde::Serialize;

use crate::auth::Caller;
use crate::extract::{Json, OptionalJson, Path, Query};
use crate::openapi::errors;
use crate::strict::IDEMPOTENCY_KEY;
use crate::v1::params::{AppPath, Deletion, RunPath};
use crate::{ApiError, HttpState, render};

errors! { CreateErrors {
    InvalidRequest: "A field breaks a rule, or the input does not match the version's schema.",
    NoVersion: "The app has no version to run.",
    NotFound: "The team has no such app, the app has no such version, or the team has no run that `after` names.",
    Conflict: "The app is disabled, the `Idempotency-Key` was used for another request, or the team is at a limit: of queued \
               runs, of environments or of storage.",
    RateLimited: "The team has created as many runs today as its limits allow.",
} }

/// Creates a run.
///
/// The run waits in the queue of its environment until a runner takes it. The input is a JSON object, as large
/// as the body may be. The server checks it against the version's schema and fills in the schema's defaults. With an
/// `Idempotency-Key`, repeating the call within 24 hours gives the run that the first call made.
#[utoipa::path(post, path = "/api/v1/apps/{app}/runs", operation_id = "create_run", tag = "Runs",
    params(
        AppPath,
        ("idempotency-key" = Option<String>, Header, min_length = 1, max_length = 255,
            description = "Names this call, in visible ASCII characters. Use another key for another run."),
    ),
    request_body = Option<CreateRun>,
    responses(
        (status = 200, description = "The run that the same call made before, as it is now.", body = Run),
        (status = 201, description = "The new run.", body = Run),
        CreateErrors,
    ))]
pub(crate) async fn create(
    State(state): State<HttpState>,
    Caller(caller): Caller<TeamPrincipal>,
    Path(path): Path<AppPath>,
    headers: HeaderMap,
    OptionalJson(body): OptionalJson<CreateRun>,
) -> Result<(StatusCode, Json<Run>), ApiError> {
    let once = once(&headers, &path.app, &body)?;
    let new = new_run(body);
    answer(match once {
        None => Created::New(state.runs().create_run(&caller, path.app, new).await?),
        Some(once) => state.runs().create_run_once(&caller, path.app, new, once).await?,
    })
}

/// The answer with a run that was made now, or by the same call before.
pub(super) fn answer(created: Created) -> Result<(StatusCode, Json<Run>), ApiError> {
    let (status, run) = match created {
        Created::New(run) => (StatusCode::CREATED, run),
        Created::Before(run) => (StatusCode::OK, run),
    };
    Ok((status, Json(render::run(run)?)))
}

fn new_run(body: CreateRun) -> NewRun {
    let CreateRun {
        input,
        version_no,
        priority,
        max_retries,
        retry,
        timeout_seconds,
        environment,
        labels,
        concurrency,
        after,
    } = body;
    NewRun {
        input,
        version_no,
        priority,
        max_retries,
        retry: retry.map(wanted),
        timeout_seconds,
        environment,
        labels,
        concurrency: concurrency.map(|Concurrency { key, max }| (key, max)),
        after: after.into_iter().map(after_run).collect(),
    }
}

pub(super) fn after_run(After { run_id, on }: After) -> domain::After {
    let until = match on {
        AfterOn::Completed => domain::Until::Completed,
        AfterOn::Ended => domain::Until::Ended,
    };
    domain::After { run: RunId(run_id), until }
}

/// The key of a call that may be repeated. What is asked for is compared as it was understood, not as it was written.
pub(super) fn once<T: Serialize>(
    headers: &HeaderMap,
    of: &str,
    body: &T,
) -> Result<Option<Idempotency>, ApiError> {
    let mut keys = headers.get_all(IDEMPOTENCY_KEY).iter();
    let Some(key) = keys.next() else { return Ok(None) };
    if keys.next().is_some() {
        return Err(ApiError::invalid_request("the header Idempotency-Key is given more than once"));
    }
    let request = serde_json::to_string(body).map_err(|error| ApiError::internal(&error))?;
    Ok(Some(Idempotency::new(key.to_str().unwrap_or_default(), of, &request)?))
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

errors! { DeleteErrors {
    NotFound: "The team has no such run.",
    Conflict: "The run has not ended, and `force` is not set.",
} }

/// Deletes a run with its log and artifacts.
#[utoipa::path(delete, path = "/api/v1/runs/{run}", operation_id = "delete_run", tag = "Runs",
    params(RunPath, Deletion),
    responses((status = 204, description = "The run is deleted."), DeleteErrors))]
pub(crate) async fn delete(
    State(state): State<HttpState>,
    Caller(caller): Caller<TeamPrincipal>,
    Path(path): Path<RunPath>,
    Query(deletion): Query<Deletion>,
) -> Result<StatusCode, ApiError> {
    state.runs().delete_run(&caller, path.id(), deletion.unfinished()).await?;
    Ok(StatusCode::NO_CONTENT)
}
