//! `GET /runs`.

use axum::extract::State;
use minitower_runs::ListRuns;
use minitower_runs::domain::run::RunStatus;
use minitower_teams::team::TeamPrincipal;
use minitower_vocabulary::ids::RunId;
use minitower_vocabulary::wire::runs::Runs;
use serde::Deserialize;

use crate::auth::Caller;
use crate::extract::{Json, Query};
use crate::v1::params::{page_limit, page_offset};
use crate::{ApiError, HttpState, render};

/// The query. Numbers are read leniently where clients rely on it, so they come as text.
#[derive(Debug, Deserialize)]
pub(crate) struct Params {
    limit: Option<String>,
    offset: Option<String>,
    before: Option<i64>,
    status: Option<String>,
    app: Option<String>,
    environment: Option<String>,
}

/// Lists the team's runs, newest first.
pub(crate) async fn list(
    State(state): State<HttpState>,
    Caller(caller): Caller<TeamPrincipal>,
    Query(params): Query<Params>,
) -> Result<Json<Runs>, ApiError> {
    let filter = ListRuns {
        app: given(params.app),
        status: given(params.status).map(|text| status(&text)).transpose()?,
        environment: given(params.environment),
        before: params.before.map(RunId),
        limit: page_limit(params.limit.as_deref()),
        offset: page_offset(params.offset.as_deref()),
    };
    let runs = state.runs().list_runs(&caller, filter).await?;
    Ok(Json(Runs { runs: runs.into_iter().map(render::run).collect::<Result<_, _>>()? }))
}

/// `?status=` without a value filters nothing.
fn given(text: Option<String>) -> Option<String> {
    text.filter(|text| !text.is_empty())
}

fn status(text: &str) -> Result<RunStatus, ApiError> {
    RunStatus::parse(text).ok_or_else(|| {
        let known = RunStatus::ALL.map(RunStatus::as_str).join(", ");
        ApiError::invalid_request(format!("{text:?} is no status: it must be one of {known}"))
    })
}
