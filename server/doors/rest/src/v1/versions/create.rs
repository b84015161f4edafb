//! `POST /apps/{app}/versions`.

use axum::extract::{Request, State};
use http::StatusCode;
use minitower_teams::team::TeamPrincipal;
use minitower_vocabulary::wire::apps::Version;

use super::upload;
use crate::auth::Caller;
use crate::extract::{Json, Path};
use crate::v1::params::AppPath;
use crate::{ApiError, HttpState, render};

/// Takes an archive and makes it the app's next version.
pub(crate) async fn create(
    State(state): State<HttpState>,
    Caller(caller): Caller<TeamPrincipal>,
    Path(path): Path<AppPath>,
    request: Request,
) -> Result<(StatusCode, Json<Version>), ApiError> {
    // Before the body: nobody sends 100 MiB to learn that the app is not there.
    state.apps().app(&caller, path.app.clone()).await?;
    let upload::Received { artifact, fields } = upload::receive(&state, request).await?;
    let version = state.apps().create_version(&caller, path.app, artifact, fields).await?;
    Ok((StatusCode::CREATED, Json(render::version(version)?)))
}
