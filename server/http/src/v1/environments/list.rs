//! `GET /environments`.

use crate::domain::team::TeamPrincipal;
use axum::extract::State;
use minitower_wire::environments::Environments;

use crate::auth::Caller;
use crate::extract::Json;
use crate::{ApiError, HttpState, render};

/// Lists the team's environments.
pub(crate) async fn list(
    State(state): State<HttpState>,
    Caller(caller): Caller<TeamPrincipal>,
) -> Result<Json<Environments>, ApiError> {
    let environments = state.app().environments(&caller).await?;
    Ok(Json(Environments { environments: environments.into_iter().map(render::environment).collect() }))
}
