//! `GET /apps/{app}/versions/{no}`.

use axum::extract::State;
use minitower_teams::team::TeamPrincipal;
use minitower_vocabulary::wire::apps::Version;

use crate::auth::Caller;
use crate::extract::{Json, Path};
use crate::v1::params::VersionPath;
use crate::{ApiError, HttpState, render};

/// Shows a version.
pub(crate) async fn show(
    State(state): State<HttpState>,
    Caller(caller): Caller<TeamPrincipal>,
    Path(path): Path<VersionPath>,
) -> Result<Json<Version>, ApiError> {
    Ok(Json(render::version(state.apps().version(&caller, path.app, path.no).await?)?))
}
