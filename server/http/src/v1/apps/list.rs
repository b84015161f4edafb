//! `GET /apps`.

use crate::domain::team::TeamPrincipal;
use axum::extract::State;
use minitower_wire::apps::Apps;

use crate::auth::Caller;
use crate::extract::Json;
use crate::{ApiError, HttpState, render};

/// Lists the team's apps.
pub(crate) async fn list(
    State(state): State<HttpState>,
    Caller(caller): Caller<TeamPrincipal>,
) -> Result<Json<Apps>, ApiError> {
    let apps = state.app().apps(&caller).await?;
    Ok(Json(Apps { apps: apps.into_iter().map(render::app).collect() }))
}
