//! Registration tokens that each belong to one pool.

use axum::extract::State;
use http::StatusCode;
use minitower_teams::NewPoolToken;
use minitower_vocabulary::wire::admin::{CreatePoolToken, PoolTokenCreated, RunnerScope};

use super::params::PoolPath;
use crate::extract::{Json, OptionalJson, Path};
use crate::openapi::errors;
use crate::{ApiError, HttpState};

errors! { CreateErrors {
    InvalidRequest: "The namespace, the pool's name or the environment cannot be one, or there is no such team.",
} }

/// Makes a registration token for one pool.
///
/// The token registers only runners of this pool, in this environment, and of this team or the platform. Their names begin
/// with the pool's. The pool's former tokens stay good until ten minutes after a runner has registered with the new one.
#[utoipa::path(post, path = "/api/v1/admin/pools/{namespace}/{pool}/token", operation_id = "create_pool_token",
    tag = "Runners", params(PoolPath), request_body = Option<CreatePoolToken>,
    responses((status = 201, description = "The token. It is shown only once.", body = PoolTokenCreated), CreateErrors))]
pub(crate) async fn create_token(
    State(state): State<HttpState>,
    Path(path): Path<PoolPath>,
    OptionalJson(body): OptionalJson<CreatePoolToken>,
) -> Result<(StatusCode, Json<PoolTokenCreated>), ApiError> {
    let PoolPath { namespace, pool } = path;
    let CreatePoolToken { environment, team } = body;
    let wanted = minitower_teams::CreatePoolToken { namespace, pool, environment, team: team.clone() };
    let NewPoolToken { binding, token } = state.teams().create_pool_token(wanted).await?;
    let answer = PoolTokenCreated {
        pool: binding.pool.to_string(),
        environment: binding.environment,
        scope: if team.is_some() { RunnerScope::Team } else { RunnerScope::Platform },
        team,
        token,
    };
    Ok((StatusCode::CREATED, Json(answer)))
}

errors! { DeleteErrors {
    InvalidRequest: "The namespace or the pool's name cannot be one.",
    NotFound: "The pool has no registration token of its own.",
} }

/// Revokes the registration tokens of one pool.
///
/// They are dead at once. Runners that registered with them stay.
#[utoipa::path(delete, path = "/api/v1/admin/pools/{namespace}/{pool}/token", operation_id = "delete_pool_token",
    tag = "Runners", params(PoolPath),
    responses((status = 204, description = "The tokens are revoked."), DeleteErrors))]
pub(crate) async fn delete_token(
    State(state): State<HttpState>,
    Path(path): Path<PoolPath>,
) -> Result<StatusCode, ApiError> {
    state.teams().delete_pool_token(&path.namespace, &path.pool).await?;
    Ok(StatusCode::NO_CONTENT)
}
