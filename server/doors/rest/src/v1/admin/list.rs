//! `GET /admin/runners`.

use axum::extract::State;
use minitower_runs::ListRunners;
use minitower_teams::AdminPrincipal;
use minitower_vocabulary::wire::admin::Runners;
use serde::Deserialize;

use crate::auth::Caller;
use crate::extract::{Json, Query};
use crate::{ApiError, HttpState, render};

/// The query.
#[derive(Debug, Deserialize)]
pub(crate) struct Params {
    pool: Option<String>,
    environment: Option<String>,
    after: Option<String>,
    limit: Option<i64>,
}

/// Lists the runners the caller may see, by name.
pub(crate) async fn list(
    State(state): State<HttpState>,
    Caller(caller): Caller<AdminPrincipal>,
    Query(params): Query<Params>,
) -> Result<Json<Runners>, ApiError> {
    let Params { pool, environment, after, limit } = params;
    let list = ListRunners { pool, environment, after, limit };
    let runners = state.runners().list_runners(&caller, list).await?;
    Ok(Json(Runners { runners: runners.into_iter().map(render::runner).collect() }))
}
