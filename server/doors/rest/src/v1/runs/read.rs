//! One run: the run itself, its attempts and its log.

use axum::extract::State;
use minitower_kernel::page::Page;
use minitower_runs::MAX_LOG_LINES;
use minitower_teams::team::TeamPrincipal;
use minitower_vocabulary::wire::runs::{Attempts, Logs, Run};
use serde::Deserialize;
use utoipa::IntoParams;

use crate::auth::Caller;
use crate::extract::{Json, Path, Query};
use crate::openapi::errors;
use crate::v1::params::{After, RunPath};
use crate::{ApiError, HttpState, render};

errors! { NoRun { NotFound: "The team has no such run.", } }

/// Shows a run.
#[utoipa::path(get, path = "/api/v1/runs/{run}", operation_id = "show_run", tag = "Runs", params(RunPath),
    responses((status = 200, description = "The run.", body = Run), NoRun))]
pub(crate) async fn show(
    State(state): State<HttpState>,
    Caller(caller): Caller<TeamPrincipal>,
    Path(path): Path<RunPath>,
) -> Result<Json<Run>, ApiError> {
    Ok(Json(render::run(state.runs().run(&caller, path.id()).await?)?))
}

/// Lists a run's attempts, oldest first.
///
/// The end of the list is an empty page.
#[utoipa::path(get, path = "/api/v1/runs/{run}/attempts", operation_id = "list_attempts", tag = "Runs",
    params(
        RunPath,
        ("after" = Option<i64>, Query, description = "Only attempts with a larger number."),
        ("limit" = Option<i64>, Query, minimum = 1, maximum = 1000, description = "At most this many. Default 1000."),
    ),
    responses((status = 200, description = "One page of attempts.", body = Attempts), NoRun))]
pub(crate) async fn attempts(
    State(state): State<HttpState>,
    Caller(caller): Caller<TeamPrincipal>,
    Path(path): Path<RunPath>,
    Query(After { after, limit }): Query<After<i64>>,
) -> Result<Json<Attempts>, ApiError> {
    let attempts = state.runs().run_attempts(&caller, path.id(), Page::new(after, limit)?).await?;
    Ok(Json(Attempts { attempts: attempts.into_iter().map(render::attempt).collect() }))
}

/// The query.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub(crate) struct LogsQuery {
    /// Only lines with a larger `seq`.
    after_seq: Option<i64>,
    /// At most this many, 1 to 10,000. Any other number asks for the default, 10,000.
    limit: Option<i64>,
}

/// Shows the log of a run's newest attempt.
///
/// An answer holds at most 4 MiB of lines. Ask for more with `after_seq`.
#[utoipa::path(get, path = "/api/v1/runs/{run}/logs", operation_id = "list_logs", tag = "Runs",
    params(RunPath, LogsQuery),
    responses((status = 200, description = "Lines of the log, by `seq`.", body = Logs), NoRun))]
pub(crate) async fn logs(
    State(state): State<HttpState>,
    Caller(caller): Caller<TeamPrincipal>,
    Path(path): Path<RunPath>,
    Query(params): Query<LogsQuery>,
) -> Result<Json<Logs>, ApiError> {
    let limit = params.limit.filter(|limit| (1..=MAX_LOG_LINES).contains(limit)).unwrap_or(MAX_LOG_LINES);
    let lines = state.runs().run_logs(&caller, path.id(), params.after_seq.unwrap_or(0), limit).await?;
    Ok(Json(Logs { logs: lines.into_iter().map(render::log_line).collect() }))
}
