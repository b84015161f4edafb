//! The secrets of a team's environment.

use axum::extract::State;
use http::StatusCode;
use minitower_kernel::page::Page;
use minitower_teams::SecretValue;
use minitower_teams::team::TeamPrincipal;
use minitower_vocabulary::wire::secrets::{Secret, Secrets, SetSecret};

use super::params::{After, EnvironmentPath, SecretPath};
use crate::auth::Caller;
use crate::extract::{Json, Path, Query};
use crate::openapi::errors;
use crate::render::moment;
use crate::{ApiError, HttpState};

/// Lists the secrets of an environment by name, without their values.
///
/// No call shows a value. An environment that does not exist has no secrets. The end of the list is an empty page.
#[utoipa::path(get, path = "/api/v1/environments/{env}/secrets", operation_id = "list_secrets", tag = "Environments",
    params(
        EnvironmentPath,
        ("after" = Option<String>, Query, description = "Only secrets with a later name."),
        ("limit" = Option<i64>, Query, minimum = 1, maximum = 1000, description = "At most this many. Default 1000."),
    ),
    responses((status = 200, description = "One page of secrets.", body = Secrets)))]
pub(crate) async fn list(
    State(state): State<HttpState>,
    Caller(caller): Caller<TeamPrincipal>,
    Path(path): Path<EnvironmentPath>,
    Query(After { after, limit }): Query<After<String>>,
) -> Result<Json<Secrets>, ApiError> {
    let secrets = state.teams().secrets(&caller, path.env, Page::new(after, limit)?).await?;
    let secrets = secrets
        .into_iter()
        .map(|secret| Secret { name: secret.name, updated_at: moment(secret.updated_at) })
        .collect();
    Ok(Json(Secrets { secrets }))
}

errors! { SetErrors {
    Conflict: "The environment has as many secrets, or the team as many environments, as it may have.",
    Unavailable: "The server cannot make its key file.",
} }

/// Sets a secret. A former value is replaced.
///
/// The runs of apps whose Towerfile names the secret get it as a variable, from the next lease on. The environment is created
/// if it does not exist.
#[utoipa::path(put, path = "/api/v1/environments/{env}/secrets/{secret}", operation_id = "set_secret", tag = "Environments",
    params(SecretPath), request_body = SetSecret,
    responses((status = 204, description = "The secret is set."), SetErrors))]
pub(crate) async fn set(
    State(state): State<HttpState>,
    Caller(caller): Caller<TeamPrincipal>,
    Path(path): Path<SecretPath>,
    Json(body): Json<SetSecret>,
) -> Result<StatusCode, ApiError> {
    state.teams().set_secret(&caller, path.env, path.secret, SecretValue::new(body.value)).await?;
    Ok(StatusCode::NO_CONTENT)
}

errors! { DeleteErrors { NotFound: "The environment has no secret of this name.", } }

/// Deletes a secret.
///
/// Jobs that have it keep it. Runs that are leased from now on, of apps whose Towerfile names it, fail.
#[utoipa::path(delete, path = "/api/v1/environments/{env}/secrets/{secret}", operation_id = "delete_secret",
    tag = "Environments", params(SecretPath),
    responses((status = 204, description = "The secret is deleted."), DeleteErrors))]
pub(crate) async fn delete(
    State(state): State<HttpState>,
    Caller(caller): Caller<TeamPrincipal>,
    Path(path): Path<SecretPath>,
) -> Result<StatusCode, ApiError> {
    state.teams().delete_secret(&caller, path.env, path.secret).await?;
    Ok(StatusCode::NO_CONTENT)
}
