//! `POST /runners/register`.

use axum::extract::State;
use http::StatusCode;
use minitower_runs as runners;
use minitower_runs::domain::runner;
use minitower_teams::RegistrationPrincipal;
use minitower_vocabulary::wire::runner::{Register, Registered, RunnerScope};

use crate::auth::Caller;
use crate::extract::{Json, SmallJson};
use crate::{ApiError, HttpState};

/// Makes a runner, or gives a new token to the one of that name.
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
