//! Pools of runners: what their operator says of them, and registration tokens that each belong to one pool.

use axum::extract::State;
use http::StatusCode;
use minitower_runs::domain::pools as domain;
use minitower_teams::NewPoolToken;
use minitower_vocabulary::wire::admin::{CreatePoolToken, PoolTokenCreated, RunnerScope};
use minitower_vocabulary::wire::pools::{Pool, Pools, ReportPool};

use super::params::PoolPath;
use crate::extract::{Json, OptionalJson, Path};
use crate::openapi::errors;
use crate::render::moment;
use crate::{ApiError, HttpState};

/// Lists the pools that were reported within the last 90 seconds, by name.
///
/// The server keeps them in memory, at most 1,000.
#[utoipa::path(get, path = "/api/v1/admin/pools", operation_id = "list_pools", tag = "Runners",
    responses((status = 200, description = "The pools.", body = Pools)))]
pub(crate) async fn list(State(state): State<HttpState>) -> Json<Pools> {
    let shown = |(at, pool)| {
        let domain::Pool { name, environment, team, standing } = pool;
        let domain::Standing { state, min, max, desired, ready, message } = standing;
        Pool {
            pool: name,
            environment,
            team,
            state,
            min,
            max,
            desired,
            ready,
            message,
            reported_at: moment(at),
        }
    };
    Json(Pools { pools: state.runners().pools().into_iter().map(shown).collect() })
}

errors! { ReportErrors {
    InvalidRequest: "The namespace, the pool's name or the environment cannot be one, there is no such team, or the message is no line \
        of text.",
} }

/// Reports how a pool stands.
///
/// Whoever runs the pool reports it at every change, and again before 90 seconds have passed. Runs that wait for one of its
/// runners are explained by it.
#[utoipa::path(put, path = "/api/v1/admin/pools/{namespace}/{pool}", operation_id = "report_pool", tag = "Runners",
    params(PoolPath), request_body = ReportPool,
    responses((status = 204, description = "It is remembered for 90 seconds."), ReportErrors))]
pub(crate) async fn report(
    State(state): State<HttpState>,
    Path(path): Path<PoolPath>,
    Json(body): Json<ReportPool>,
) -> Result<StatusCode, ApiError> {
    let ReportPool { environment, team, state: stands, min, max, desired, ready, message } = body;
    let standing = domain::Standing { state: stands, min, max, desired, ready, message };
    let PoolPath { namespace, pool: name } = path;
    let report = minitower_runs::ReportPool { namespace, name, environment, team, standing };
    state.runners().report_pool(report)?;
    Ok(StatusCode::NO_CONTENT)
}

errors! { ForgetErrors { InvalidRequest: "The namespace or the pool's name cannot be one.", } }

/// Forgets what was reported of a pool.
///
/// Forgetting a pool that was not reported changes nothing.
#[utoipa::path(delete, path = "/api/v1/admin/pools/{namespace}/{pool}", operation_id = "forget_pool", tag = "Runners",
    params(PoolPath),
    responses((status = 204, description = "It is forgotten."), ForgetErrors))]
pub(crate) async fn forget(
    State(state): State<HttpState>,
    Path(path): Path<PoolPath>,
) -> Result<StatusCode, ApiError> {
    state.runners().forget_pool(&path.namespace, &path.pool)?;
    Ok(StatusCode::NO_CONTENT)
}

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
