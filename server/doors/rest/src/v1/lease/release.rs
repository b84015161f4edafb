//! `POST /runs/{run}/release`.

use axum::extract::State;
use minitower_vocabulary::wire::runner::Ok as Done;

use crate::auth::{Caller, LeaseHolder};
use crate::extract::{Json, Path};
use crate::v1::params::RunPath;
use crate::{ApiError, HttpState};

/// The runner gives the run back.
pub(crate) async fn release(
    State(state): State<HttpState>,
    Caller(LeaseHolder { runner, lease_token }): Caller<LeaseHolder>,
    Path(path): Path<RunPath>,
) -> Result<Json<Done>, ApiError> {
    state.leases().release_run(&runner, path.id(), &lease_token).await?;
    Ok(Json(Done::default()))
}
