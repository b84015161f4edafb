//! `GET /apps/{app}`.

use axum::extract::State;
use minitower_teams::team::TeamPrincipal;
use minitower_vocabulary::wire::apps::App;

use crate::auth::Caller;
use crate::extract::{Json, Path};
use crate::v1::params::AppPath;
use crate::{ApiError, HttpState, render};

/// Shows an app.
pub(crate) async fn show(
    State(state): State<HttpState>,
    Caller(caller): Caller<TeamPrincipal>,
    Path(path): Path<AppPath>,
) -> Result<Json<App>, ApiError> {
    Ok(Json(render::app(state.apps().app(&caller, path.app).await?)))
}
