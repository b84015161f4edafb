//! `GET /registration-tokens`.

use axum::extract::State;
use minitower_kernel::page::Page;
use minitower_teams::team::TeamPrincipal;
use minitower_vocabulary::ids::RegistrationTokenId;
use minitower_vocabulary::wire::auth::RegistrationTokens;

use crate::auth::Caller;
use crate::extract::{Json, Query};
use crate::v1::params::Before;
use crate::{ApiError, HttpState, render};

/// Lists the team's registration tokens, newest first, from behind the id `before`; never their secrets.
pub(crate) async fn list(
    State(state): State<HttpState>,
    Caller(caller): Caller<TeamPrincipal>,
    Query(Before { before, limit }): Query<Before<i64>>,
) -> Result<Json<RegistrationTokens>, ApiError> {
    let page = Page::new(before.map(RegistrationTokenId), limit)?;
    let tokens = state.teams().registration_tokens(&caller, page).await?;
    let registration_tokens = tokens.iter().map(render::registration_token).collect();
    Ok(Json(RegistrationTokens { registration_tokens }))
}
