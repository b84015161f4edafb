//! `GET /runs/{run}`.

use axum::extract::State;
use minitower_teams::team::TeamPrincipal;
use minitower_vocabulary::wire::runs::Run;

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
    Ok(Json(render::run(state.runs().run(&caller, path.id()).await?)?))
}
