//! `GET /apps/{app}/runs`.

use axum::extract::State;
use minitower_runs::ListRuns;
use minitower_teams::team::TeamPrincipal;
use minitower_vocabulary::wire::runs::Runs;
use serde::Deserialize;

use crate::auth::Caller;
use crate::extract::{Json, Path, Query};
use crate::v1::params::{AppPath, page_limit, page_offset};
use crate::{ApiError, HttpState, render};

/// The query.
#[derive(Debug, Deserialize)]
pub(crate) struct Params {
    limit: Option<String>,
    offset: Option<String>,
}

/// Lists an app's runs, newest first.
pub(crate) async fn list_of_app(
    State(state): State<HttpState>,
    Caller(caller): Caller<TeamPrincipal>,
    Path(path): Path<AppPath>,
    Query(params): Query<Params>,
) -> Result<Json<Runs>, ApiError> {
    let list = ListRuns {
        limit: page_limit(params.limit.as_deref()),
        offset: page_offset(params.offset.as_deref()),
        ..ListRuns::default()
    };
    let runs = state.runs().list_runs_of_app(&caller, path.app, list).await?;
    Ok(Json(Runs { runs: runs.into_iter().map(render::run).collect::<Result<_, _>>()? }))
}
