//! `GET /runs/{run}`.

use crate::domain::team::TeamPrincipal;
use axum::extract::State;
use minitower_wire::runs::Run;

use crate::auth::Caller;
use crate::extract::{Json, Path};
use crate::v1::params::RunPath;
use crate::{ApiError, HttpState, render};

/// Shows a run.
pub(crate) async fn show(
    State(state): State<HttpState>,
    Caller(caller): Caller<TeamPrincipal>,
    Path(path): Path<RunPath>,
) -> Result<Json<Run>, ApiError> {
    Ok(Json(render::run(state.app().run(&caller, path.id()).await?)?))
}
