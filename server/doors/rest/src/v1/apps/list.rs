//! `GET /apps`.

use axum::extract::State;
use minitower_kernel::page::Page;
use minitower_teams::team::TeamPrincipal;
use minitower_vocabulary::wire::apps::Apps;

use crate::auth::Caller;
use crate::extract::{Json, Query};
use crate::v1::params::After;
use crate::{ApiError, HttpState, render};

/// Lists the team's apps by slug, from behind the slug `after`.
pub(crate) async fn list(
    State(state): State<HttpState>,
    Caller(caller): Caller<TeamPrincipal>,
    Query(After { after, limit }): Query<After<String>>,
) -> Result<Json<Apps>, ApiError> {
    let apps = state.apps().apps(&caller, Page::new(after, limit)?).await?;
    Ok(Json(Apps { apps: apps.into_iter().map(render::app).collect() }))
}
