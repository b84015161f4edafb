//! `GET /runs/{run}/attempts`.

use crate::domain::team::TeamPrincipal;
use axum::extract::State;
use minitower_wire::runs::Attempts;

use crate::auth::Caller;
use crate::extract::{Json, Path};
use crate::v1::params::RunPath;
use crate::{ApiError, HttpState, render};

/// Lists a run's attempts, oldest first.
pub(crate) async fn attempts(
    State(state): State<HttpState>,
    Caller(caller): Caller<TeamPrincipal>,
    Path(path): Path<RunPath>,
) -> Result<Json<Attempts>, ApiError> {
    let attempts = state.app().run_attempts(&caller, path.id()).await?;
    Ok(Json(Attempts { attempts: attempts.into_iter().map(render::attempt).collect() }))
}
