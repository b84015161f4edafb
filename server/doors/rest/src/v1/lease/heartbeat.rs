//! `POST /runs/{run}/heartbeat`.

use axum::extract::State;
use minitower_vocabulary::wire::runner::AttemptState;

use crate::auth::{Caller, LeaseHolder};
use crate::extract::{Json, Path};
use crate::v1::params::{RunPath, note_attempt};
use crate::{ApiError, HttpState, render};

/// The runner is alive: its lease is extended, and it learns of a cancel.
pub(crate) async fn heartbeat(
    State(state): State<HttpState>,
    Caller(LeaseHolder { runner, lease_token }): Caller<LeaseHolder>,
    Path(path): Path<RunPath>,
) -> Result<Json<AttemptState>, ApiError> {
    let (run, attempt) = state.leases().heartbeat(&runner, path.id(), &lease_token).await?;
    note_attempt(&attempt);
    Ok(Json(render::attempt_state(&run, &attempt)))
}
