//! `POST /runners/register`.

use axum::extract::State;
use http::StatusCode;
use minitower_app::auth::RegistrationPrincipal;
use minitower_app::runners;
use minitower_wire::runner::{Register, Registered};

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
    let registered = state.app().register_runner(caller, new).await?;
    let status = if registered.created { StatusCode::CREATED } else { StatusCode::OK };
    let answer = Registered {
        runner_id: registered.id.0,
        name: registered.name,
        token: registered.token,
        scope: None,
    };
    Ok((status, Json(answer)))
}
