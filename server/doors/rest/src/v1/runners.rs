//! Runners, by themselves: registering and signing off.

use axum::extract::State;
use http::StatusCode;
use minitower_runs as runners;
use minitower_runs::domain::runner::{self, RunnerPrincipal};
use minitower_teams::RegistrationPrincipal;
use minitower_vocabulary::wire::runner::{Ok as Done, Register, Registered, RunnerScope, SignOff};

use crate::auth::Caller;
use crate::extract::{Json, OptionalJson, SmallJson};
use crate::openapi::errors;
use crate::{ApiError, HttpState};

errors! { RegisterErrors {
    Forbidden: "The token is that of a pool, and this is not one of the pool's runners.",
    Conflict: "A runner of the platform, of another team or of another pool has this name, or the team has as many runners or environments as its limits allow.",
    RateLimited: "Too many runners register with this token.",
} }

/// Registers a runner.
///
/// Registering again under the same name replaces the token, the environment, the pool and the labels. The former
/// token is dead.
#[utoipa::path(post, path = "/api/v1/runners/register", operation_id = "register_runner", tag = "Runner protocol",
    request_body = Register,
    responses(
        (status = 200, description = "A new token for the runner with this name.", body = Registered),
        (status = 201, description = "The new runner and its token. The token is shown only once.", body = Registered),
        RegisterErrors,
    ))]
pub(crate) async fn register(
    State(state): State<HttpState>,
    Caller(caller): Caller<RegistrationPrincipal>,
    SmallJson(body): SmallJson<Register>,
) -> Result<(StatusCode, Json<Registered>), ApiError> {
    let Register { name, environment, pool, labels } = body;
    let new = runners::Register { name, environment, pool, labels };
    let registered = state.runners().register_runner(caller, new).await?;
    let status = if registered.created { StatusCode::CREATED } else { StatusCode::OK };
    let scope = match registered.scope {
        runner::RunnerScope::Platform => RunnerScope::Platform,
        runner::RunnerScope::Team(_) => RunnerScope::Team,
    };
    let answer = Registered {
        runner_id: registered.id.0,
        name: registered.name,
        token: registered.token,
        scope: Some(scope),
    };
    Ok((status, Json(answer)))
}

/// Signs a runner off.
///
/// The server leases nothing to this runner until it polls again. An attempt that has not started goes back to the
/// queue. So does an attempt that the poll named in `request_id` has started, if the runner has sent no `start`, heartbeat, log or result of it.
#[utoipa::path(post, path = "/api/v1/runners/sign-off", operation_id = "sign_off", tag = "Runner protocol",
    request_body = Option<SignOff>,
    responses((status = 200, description = "The runner gets no more runs.", body = Done)))]
pub(crate) async fn sign_off(
    State(state): State<HttpState>,
    Caller(caller): Caller<RunnerPrincipal>,
    OptionalJson(SignOff { request_id }): OptionalJson<SignOff>,
) -> Result<Json<Done>, ApiError> {
    state.leases().sign_off(&caller, request_id).await?;
    Ok(Json(Done::default()))
}
