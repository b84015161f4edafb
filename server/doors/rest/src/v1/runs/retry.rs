//! Running a run again.

use axum::extract::State;
use http::{HeaderMap, StatusCode};
use minitower_runs::Changes;
use minitower_teams::team::TeamPrincipal;
use minitower_vocabulary::ids::RunId;
use minitower_vocabulary::wire::runs::{RetryRun, Run};

use super::create::{after_run, answer, once};
use crate::auth::Caller;
use crate::extract::{Json, OptionalJson, Path};
use crate::openapi::errors;
use crate::v1::params::RunPath;
use crate::{ApiError, HttpState};

errors! { RetryErrors {
    InvalidRequest: "A field breaks a rule, or the input does not match the version's schema.",
    NotFound: "The team has no such run or no run that `after` names, or the app has no such version.",
    Conflict: "The run has not ended, its app is disabled, the `Idempotency-Key` was used for another request, or the team is at a limit: \
               of queued runs, of environments or of storage.",
    RateLimited: "The team has created as many runs today as its limits allow.",
} }

/// Runs a run again.
///
/// The new run has the version, the input, the priority, the environment, the labels, the timeout and the retries of the one that it
/// repeats, as far as the body does not say otherwise, and names it as `retry_of`. It does not wait for the runs that the other one came
/// after: name their retries in `after` where it has to wait for those. With an `Idempotency-Key`, repeating the call within
/// 24 hours gives the run that the first call made.
#[utoipa::path(post, path = "/api/v1/runs/{run}/retry", operation_id = "retry_run", tag = "Runs",
    params(
        RunPath,
        ("idempotency-key" = Option<String>, Header, min_length = 1, max_length = 255,
            description = "Names this call, in visible ASCII characters. Use another key for another run."),
    ),
    request_body = Option<RetryRun>,
    responses(
        (status = 200, description = "The run that the same call made before, as it is now.", body = Run),
        (status = 201, description = "The new run.", body = Run),
        RetryErrors,
    ))]
pub(crate) async fn retry(
    State(state): State<HttpState>,
    Caller(caller): Caller<TeamPrincipal>,
    Path(path): Path<RunPath>,
    headers: HeaderMap,
    OptionalJson(body): OptionalJson<RetryRun>,
) -> Result<(StatusCode, Json<Run>), ApiError> {
    let RunId(id) = path.id();
    let once = once(&headers, &format!("runs/{id}/retry"), &body)?;
    let RetryRun { input, version_no, priority, environment, after } = body;
    let after = after.into_iter().map(after_run).collect();
    let changes = Changes { input, version_no, priority, environment, after };
    answer(state.runs().retry_run(&caller, RunId(id), changes, once).await?)
}
