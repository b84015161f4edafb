//! `POST /teams/login`.

use axum::extract::State;
use http::StatusCode;
use minitower_vocabulary::wire::auth::{LoggedIn, Login};

use crate::extract::{Json, Peer, SmallJson};
use crate::{ApiError, HttpState, render};

/// Gives a new token for a team's password.
pub(crate) async fn login(
    State(state): State<HttpState>,
    Peer(address): Peer,
    SmallJson(body): SmallJson<Login>,
) -> Result<(StatusCode, Json<LoggedIn>), ApiError> {
    let Login { slug, password } = body;
    let (team, token) = state.teams().login(&slug, password, address).await?;
    let logged_in = LoggedIn {
        team_id: team.id.0,
        token: token.token,
        token_id: token.id.0,
        role: render::role(token.role),
    };
    Ok((StatusCode::CREATED, Json(logged_in)))
}
