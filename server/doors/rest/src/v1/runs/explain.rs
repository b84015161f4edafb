//! Why a run is not running.

use axum::extract::State;
use minitower_runs::Explained;
use minitower_runs::domain::after::{After, Until};
use minitower_teams::team::TeamPrincipal;
use minitower_vocabulary::statuses::RunStatus;
use minitower_vocabulary::wire::runs::{AfterOn, LimitReached, RunExplained, WaitsFor};

use crate::auth::Caller;
use crate::extract::{Json, Path};
use crate::openapi::errors;
use crate::render::moment;
use crate::v1::params::RunPath;
use crate::{ApiError, HttpState};

errors! { NoRun { NotFound: "The team has no such run.", } }

/// Explains why a run is not running.
///
/// Of everything that keeps a queued run from a runner, the answer names the first: what it comes after, its app, its
/// backoff, a limit, or the runners of its environment. The message says what to do.
#[utoipa::path(get, path = "/api/v1/runs/{run}/explain", operation_id = "explain_run", tag = "Runs",
    params(RunPath),
    responses((status = 200, description = "Why the run is not running.", body = RunExplained), NoRun))]
pub(crate) async fn explain(
    State(state): State<HttpState>,
    Caller(caller): Caller<TeamPrincipal>,
    Path(path): Path<RunPath>,
) -> Result<Json<RunExplained>, ApiError> {
    let Explained { run, explanation, waits_for } = state.runs().explain(&caller, path.id()).await?;
    let limit = explanation.limit.map(|reached| LimitReached {
        key: reached.key,
        max: reached.places.max,
        active: reached.places.active,
        runs: reached.holders.iter().map(|run| run.0).collect(),
    });
    Ok(Json(RunExplained {
        run_id: run.id.0,
        status: run.status(),
        position: explanation.position,
        reason: explanation.reason.as_str().to_owned(),
        message: explanation.message,
        until: explanation.until.map(moment),
        waits_for: waits_for.into_iter().map(waits).collect(),
        limit,
    }))
}

fn waits((after, status): (After, Option<RunStatus>)) -> WaitsFor {
    let on = match after.until {
        Until::Completed => AfterOn::Completed,
        Until::Ended => AfterOn::Ended,
    };
    WaitsFor { run_id: after.run.0, on, status }
}
