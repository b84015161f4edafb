//! `POST /runs/{run}/start`.

use axum::extract::State;
use minitower_vocabulary::wire::runner::AttemptState;

use crate::auth::{Caller, LeaseHolder};
use crate::extract::{Json, Path};
use crate::v1::params::{RunPath, note_attempt};
use crate::{ApiError, HttpState, render};

/// The runner begins the run. Its lease is not extended.
pub(crate) async fn start(
    State(state): State<HttpState>,
    Caller(LeaseHolder { runner, lease_token }): Caller<LeaseHolder>,
    Path(path): Path<RunPath>,
) -> Result<Json<AttemptState>, ApiError> {
    let (run, attempt) = state.leases().start_run(&runner, path.id(), &lease_token).await?;
    note_attempt(&attempt);
    Ok(Json(render::attempt_state(&run, &attempt)))
}
