//! `POST /apps/{app}/runs`.

use axum::extract::State;
use http::StatusCode;
use minitower_runs::CreateRun as NewRun;
use minitower_runs::domain::retry::{Failure, Wanted};
use minitower_teams::team::TeamPrincipal;
use minitower_vocabulary::wire::runs::{CreateRun, Retry, RetryOn, Run};

use crate::auth::Caller;
use crate::extract::{Json, OptionalJson, Path};
use crate::v1::params::AppPath;
use crate::{ApiError, HttpState, render};

/// Puts a run into the queue.
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
    let on = on.map(|on| on.into_iter().map(failure).collect());
    Wanted { max_attempts, on, backoff_initial_ms, backoff_multiplier, backoff_max_ms }
}

fn failure(on: RetryOn) -> Failure {
    match on {
        RetryOn::Failed => Failure::Failed,
        RetryOn::Timeout => Failure::Timeout,
        RetryOn::Lost => Failure::Lost,
    }
}
