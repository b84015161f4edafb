//! `GET /registration-tokens`.

use crate::domain::team::TeamPrincipal;
use axum::extract::State;
use minitower_wire::auth::RegistrationTokens;

use crate::auth::Caller;
use crate::extract::Json;
use crate::{ApiError, HttpState, render};

/// Lists the team's registration tokens, never their secrets.
pub(crate) async fn list(
    State(state): State<HttpState>,
    Caller(caller): Caller<TeamPrincipal>,
) -> Result<Json<RegistrationTokens>, ApiError> {
    let tokens = state.app().registration_tokens(&caller).await?;
    let registration_tokens = tokens.iter().map(render::registration_token).collect();
    Ok(Json(RegistrationTokens { registration_tokens }))
}
