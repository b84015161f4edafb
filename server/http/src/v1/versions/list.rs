//! `GET /apps/{app}/versions`.

use crate::domain::team::TeamPrincipal;
use axum::extract::State;
use minitower_wire::apps::Versions;

use crate::auth::Caller;
use crate::extract::{Json, Path};
use crate::v1::params::AppPath;
use crate::{ApiError, HttpState, render};

/// Lists an app's versions, newest first.
pub(crate) async fn list(
    State(state): State<HttpState>,
    Caller(caller): Caller<TeamPrincipal>,
    Path(path): Path<AppPath>,
) -> Result<Json<Versions>, ApiError> {
    let versions = state.app().versions(&caller, path.app).await?;
    let versions = versions.into_iter().map(render::version).collect::<Result<_, _>>()?;
    Ok(Json(Versions { versions }))
}
