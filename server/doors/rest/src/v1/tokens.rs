//! Team tokens, and a team's registration tokens.

use axum::extract::State;
use http::StatusCode;
use minitower_kernel::page::Page;
use minitower_teams::team::{self, TeamPrincipal};
use minitower_vocabulary::ids::{RegistrationTokenId, TokenId};
use minitower_vocabulary::wire::auth::{
    CreateToken, Me, RegistrationToken, RegistrationTokenCreated, RegistrationTokens, Token, TokenCreated,
    Tokens,
};
use minitower_vocabulary::wire::error::ErrorCode;

use super::params::{Before, IdPath};
use crate::auth::Caller;
use crate::extract::{Json, OptionalJson, Path, Query};
use crate::openapi::errors;
use crate::render::moment;
use crate::{ApiError, HttpState};

/// Shows the team, the role, the person and the end of the token.
#[utoipa::path(get, path = "/api/v1/me", operation_id = "me", tag = "Tokens",
    responses((status = 200, description = "Who the caller is.", body = Me)))]
pub(crate) async fn me(
    State(state): State<HttpState>,
    Caller(caller): Caller<TeamPrincipal>,
) -> Result<Json<Me>, ApiError> {
    // The API token of an attempt has neither an id nor a role. The guard turns it away before it comes here.
    let (token_id, role) = caller.token().ok_or_else(|| {
        ApiError::new(
            ErrorCode::Forbidden,
            "this call is about team tokens, and the API token of a run is not one",
        )
    })?;
    let own = state.teams().own_token(&caller).await?;
    let person = own.as_ref().and_then(|token| Some(token.person.as_ref()?.name.clone()));
    let expires_at = own.and_then(|token| token.expires_at).map(moment);
    let TeamPrincipal { team_id, team_slug, credential: _ } = caller;
    let max_artifact_bytes = Some(state.limits().artifact);
    Ok(Json(Me {
        team_id: team_id.0,
        team_slug,
        token_id: token_id.0,
        role,
        max_artifact_bytes,
        person,
        expires_at,
    }))
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
    let CreateToken { name, role, expires_in } = body;
    let wanted = minitower_teams::CreateToken { name, role, expires_in };
    let made = state.teams().create_token(&caller, wanted).await?;
    let created = TokenCreated {
        token_id: made.id.0,
        token: made.token,
        name: made.name,
        role: made.role,
        expires_at: made.expires_at.map(moment),
    };
    Ok((StatusCode::CREATED, Json(created)))
}

/// Lists the team's tokens, newest first.
///
/// The secrets are never shown. The end of the list is an empty page.
#[utoipa::path(get, path = "/api/v1/tokens", operation_id = "list_tokens", tag = "Tokens",
    params(
        ("before" = Option<i64>, Query, description = "Only tokens with a smaller id."),
        ("limit" = Option<i64>, Query, minimum = 1, maximum = 1000, description = "At most this many. Default 1000."),
    ),
    responses((status = 200, description = "One page of tokens.", body = Tokens)))]
pub(crate) async fn list(
    State(state): State<HttpState>,
    Caller(caller): Caller<TeamPrincipal>,
    Query(Before { before, limit }): Query<Before<i64>>,
) -> Result<Json<Tokens>, ApiError> {
    let page = Page::new(before.map(TokenId), limit)?;
    let tokens = state.teams().tokens(&caller, page).await?;
    Ok(Json(Tokens { tokens: tokens.into_iter().map(token).collect() }))
}

errors! { RevokeErrors { NotFound: "The team has no token with this id.", } }

/// Revokes a team token.
///
/// It is dead at once. Tokens that were made with it stay. An admin's token revokes any of the team, a member's itself alone.
#[utoipa::path(delete, path = "/api/v1/tokens/{id}", operation_id = "delete_token", tag = "Tokens", params(IdPath),
    responses((status = 204, description = "The token is revoked."), RevokeErrors))]
pub(crate) async fn delete(
    State(state): State<HttpState>,
    Caller(caller): Caller<TeamPrincipal>,
    Path(path): Path<IdPath>,
) -> Result<StatusCode, ApiError> {
    state.teams().revoke_token(&caller, TokenId(path.id)).await?;
    Ok(StatusCode::NO_CONTENT)
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

fn token(token: team::Token) -> Token {
    let team::Token { id, name, role, created_at, last_used_at, expires_at, person } = token;
    Token {
        token_id: id.0,
        name,
        role,
        created_at: moment(created_at),
        last_used_at: last_used_at.map(moment),
        expires_at: expires_at.map(moment),
        person: person.map(|person| person.name),
    }
}

fn shown(token: &team::RegistrationToken) -> RegistrationToken {
    let team::RegistrationToken { id, created_at, last_used_at } = *token;
    RegistrationToken { id: id.0, created_at: moment(created_at), last_used_at: last_used_at.map(moment) }
}
