//! `POST /runs/{run}/result`.

use axum::extract::State;
use minitower_runs::domain::lease::Outcome;
use minitower_vocabulary::wire::runner::{Ok as Done, RunResult};

use crate::auth::{Caller, LeaseHolder};
use crate::extract::{Json, Path};
use crate::v1::params::RunPath;
use crate::{ApiError, HttpState};

/// The runner reports the end.
pub(crate) async fn result(
    State(state): State<HttpState>,
    Caller(LeaseHolder { runner, lease_token }): Caller<LeaseHolder>,
    Path(path): Path<RunPath>,
    Json(body): Json<RunResult>,
) -> Result<Json<Done>, ApiError> {
    // Runners send `logs` here only to servers that start attempts in the poll.
    let RunResult { status, exit_code, error_message, reason, output, logs: _ } = body;
    let outcome = Outcome { status, exit_code, error_message, reason };
    state.leases().finish_run(&runner, path.id(), &lease_token, outcome, output).await?;
    Ok(Json(Done::default()))
}
