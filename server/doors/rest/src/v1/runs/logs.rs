//! `GET /runs/{run}/logs`.

use axum::extract::State;
use minitower_runs::MAX_LOG_LINES;
use minitower_teams::team::TeamPrincipal;
use minitower_vocabulary::wire::runs::Logs;
use serde::Deserialize;

use crate::auth::Caller;
use crate::extract::{Json, Path, Query};
use crate::v1::params::RunPath;
use crate::{ApiError, HttpState, render};

/// The query.
#[derive(Debug, Deserialize)]
pub(crate) struct Params {
    after_seq: Option<i64>,
    limit: Option<i64>,
}

/// Shows the log of a run's newest attempt, from behind `after_seq`.
pub(crate) async fn logs(
    State(state): State<HttpState>,
    Caller(caller): Caller<TeamPrincipal>,
    Path(path): Path<RunPath>,
    Query(params): Query<Params>,
) -> Result<Json<Logs>, ApiError> {
    let limit = params.limit.filter(|limit| (1..=MAX_LOG_LINES).contains(limit)).unwrap_or(MAX_LOG_LINES);
    let lines = state.runs().run_logs(&caller, path.id(), params.after_seq.unwrap_or(0), limit).await?;
    Ok(Json(Logs { logs: lines.into_iter().map(render::log_line).collect() }))
}
