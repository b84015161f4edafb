//! `POST /bootstrap/team`.

use axum::extract::State;
use http::StatusCode;
use minitower_vocabulary::wire::auth::{BootstrapTeam, TeamCreated};

use crate::extract::{Json, SmallJson};
use crate::{ApiError, HttpState, render};

/// Makes the platform's first team, or gives a new token of it.
pub(crate) async fn bootstrap(
    State(state): State<HttpState>,
    SmallJson(body): SmallJson<BootstrapTeam>,
) -> Result<(StatusCode, Json<TeamCreated>), ApiError> {
    let BootstrapTeam { slug, name, password } = body;
    let made = state.teams().bootstrap(&slug, &name, password).await?;
    let status = if made.created { StatusCode::CREATED } else { StatusCode::OK };
    Ok((status, Json(render::team_created(made))))
}
