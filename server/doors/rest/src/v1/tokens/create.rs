//! `POST /tokens`.

use axum::extract::State;
use http::StatusCode;
use minitower_teams::team::TeamPrincipal;
use minitower_vocabulary::wire::auth::{CreateToken, TokenCreated};

use crate::auth::Caller;
use crate::extract::{Json, OptionalJson};
use crate::{ApiError, HttpState, render};

/// Makes a team token.
pub(crate) async fn create(
    State(state): State<HttpState>,
    Caller(caller): Caller<TeamPrincipal>,
    OptionalJson(body): OptionalJson<CreateToken>,
) -> Result<(StatusCode, Json<TokenCreated>), ApiError> {
    let CreateToken { name, role } = body;
    let made = state.teams().create_token(&caller, name, role).await?;
    let created = TokenCreated {
        token_id: made.id.0,
        token: made.token,
        name: made.name,
        role: render::role(made.role),
    };
    Ok((StatusCode::CREATED, Json(created)))
}
