//! `POST /runs/{run}/cancel`.

use axum::extract::State;
use minitower_teams::team::TeamPrincipal;
use minitower_vocabulary::wire::runs::Run;

use crate::auth::Caller;
use crate::extract::{Json, Path};
use crate::v1::params::RunPath;
use crate::{ApiError, HttpState, render};

/// Asks for a run's end; asking again changes nothing.
pub(crate) async fn cancel(
    State(state): State<HttpState>,
    Caller(caller): Caller<TeamPrincipal>,
    Path(path): Path<RunPath>,
) -> Result<Json<Run>, ApiError> {
    Ok(Json(render::run(state.runs().cancel_run(&caller, path.id()).await?)?))
}
