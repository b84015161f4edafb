//! `POST /runners/sign-off`.

use axum::extract::State;
use minitower_runs::domain::runner::RunnerPrincipal;
use minitower_vocabulary::wire::runner::Ok as Done;

use crate::auth::Caller;
use crate::extract::Json;
use crate::{ApiError, HttpState};

/// The runner takes no more work until it polls again.
pub(crate) async fn sign_off(
    State(state): State<HttpState>,
    Caller(caller): Caller<RunnerPrincipal>,
) -> Result<Json<Done>, ApiError> {
    state.leases().sign_off(&caller).await?;
    Ok(Json(Done::default()))
}
