//! Team tokens, and a team's registration tokens.

use axum::extract::State;
use http::StatusCode;
use minitower_kernel::page::Page;
use minitower_teams::team::{self, TeamPrincipal};
use minitower_vocabulary::ids::RegistrationTokenId;
use minitower_vocabulary::wire::auth::{
    CreateToken, Me, RegistrationToken, RegistrationTokenCreated, RegistrationTokens, TokenCreated,
};
use minitower_vocabulary::wire::error::ErrorCode;

use super::params::{Before, IdPath};
use crate::auth::Caller;
use crate::extract::{Json, OptionalJson, Path, Query};
use crate::openapi::errors;
use crate::render::moment;
use crate::{ApiError, HttpState};

/// Shows the team and the role of the token.
#[utoipa::path(get, path = "/api/v1/me", operation_id = "me", tag = "Tokens",
    responses((status = 200, description = "Who the caller is.", body = Me)))]
pub(crate) async fn me(Caller(caller): Caller<TeamPrincipal>) -> Result<Json<Me>, ApiError> {
    // The API token of an attempt has neither an id nor a role. The guard turns it away before it comes here.
    let (token_id, role) = caller.token().ok_or_else(|| {
        ApiError::new(
            ErrorCode::Forbidden,
            "this call is about team tokens, and the API token of a run is not one",
        )
    })?;
    let TeamPrincipal { team_id, team_slug, credential: _ } = caller;
    Ok(Json(Me { team_id: team_id.0, team_slug, token_id: token_id.0, role }))
}

errors! { CreateErrors { Conflict: "The team has as many tokens as its limits allow.", } }

/// Creates a team token.
///
/// The role is `member` unless an admin asks for `admin`. A member's request always yields `member`.
#[utoipa::path(post, path = "/api/v1/tokens", operation_id = "create_token", tag = "Tokens",
    request_body = Option<CreateToken>,
    responses((status = 201, description = "The token. It is shown only once.", body = TokenCreated), CreateErrors))]
pub(crate) async fn create(
    State(state): State<HttpState>,
    Caller(caller): Caller<TeamPrincipal>,
    OptionalJson(body): OptionalJson<CreateToken>,
) -> Result<(StatusCode, Json<TokenCreated>), ApiError> {
    let CreateToken { name, role: wanted } = body;
    let made = state.teams().create_token(&caller, name, wanted).await?;
    let created = TokenCreated { token_id: made.id.0, token: made.token, name: made.name, role: made.role };
    Ok((StatusCode::CREATED, Json(created)))
}

/// Lists the team's registration tokens, newest first.
///
/// The secrets are never shown. The end of the list is an empty page.
#[utoipa::path(get, path = "/api/v1/registration-tokens", operation_id = "list_registration_tokens", tag = "Tokens",
    params(
        ("before" = Option<i64>, Query, description = "Only tokens with a smaller id."),
        ("limit" = Option<i64>, Query, minimum = 1, maximum = 1000, description = "At most this many. Default 1000."),
    ),
    responses((status = 200, description = "One page of tokens.", body = RegistrationTokens)))]
pub(crate) async fn list_registration(
    State(state): State<HttpState>,
    Caller(caller): Caller<TeamPrincipal>,
    Query(Before { before, limit }): Query<Before<i64>>,
) -> Result<Json<RegistrationTokens>, ApiError> {
    let page = Page::new(before.map(RegistrationTokenId), limit)?;
    let tokens = state.teams().registration_tokens(&caller, page).await?;
    Ok(Json(RegistrationTokens { registration_tokens: tokens.iter().map(shown).collect() }))
}

/// Creates a registration token for the team's own runners.
#[utoipa::path(post, path = "/api/v1/registration-tokens", operation_id = "create_registration_token", tag = "Tokens",
    responses((status = 201, description = "The token. It is shown only once.", body = RegistrationTokenCreated)))]
pub(crate) async fn create_registration(
    State(state): State<HttpState>,
    Caller(caller): Caller<TeamPrincipal>,
) -> Result<(StatusCode, Json<RegistrationTokenCreated>), ApiError> {
    let (id, token) = state.teams().create_registration_token(&caller).await?;
    Ok((StatusCode::CREATED, Json(RegistrationTokenCreated { id: id.0, token })))
}

errors! { DeleteErrors { NotFound: "The team has no registration token with this id.", } }

/// Revokes a registration token.
///
/// Runners that registered with it stay.
#[utoipa::path(delete, path = "/api/v1/registration-tokens/{id}", operation_id = "delete_registration_token",
    tag = "Tokens", params(IdPath),
    responses((status = 204, description = "The token is revoked."), DeleteErrors))]
pub(crate) async fn delete_registration(
    State(state): State<HttpState>,
    Caller(caller): Caller<TeamPrincipal>,
    Path(path): Path<IdPath>,
) -> Result<StatusCode, ApiError> {
    state.teams().delete_registration_token(&caller, RegistrationTokenId(path.id)).await?;
    Ok(StatusCode::NO_CONTENT)
}

fn shown(token: &team::RegistrationToken) -> RegistrationToken {
    let team::RegistrationToken { id, created_at, last_used_at } = *token;
    RegistrationToken { id: id.0, created_at: moment(created_at), last_used_at: last_used_at.map(moment) }
}
