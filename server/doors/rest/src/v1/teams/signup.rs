//! `POST /teams/signup`.

use axum::extract::State;
use http::StatusCode;
use minitower_vocabulary::wire::auth::{Signup, TeamCreated};

use crate::extract::{Json, SmallJson};
use crate::{ApiError, HttpState, render};

/// Makes a team.
pub(crate) async fn signup(
    State(state): State<HttpState>,
    SmallJson(body): SmallJson<Signup>,
) -> Result<(StatusCode, Json<TeamCreated>), ApiError> {
    let Signup { slug, name, password } = body;
    let made = state.teams().signup(&slug, &name, password).await?;
    Ok((StatusCode::CREATED, Json(render::team_created(made))))
}
