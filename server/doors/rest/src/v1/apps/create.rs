//! `POST /apps`.

use axum::extract::State;
use http::StatusCode;
use minitower_teams::team::TeamPrincipal;
use minitower_vocabulary::wire::apps::{App, CreateApp};

use crate::auth::Caller;
use crate::extract::Json;
use crate::{ApiError, HttpState, render};

/// Makes an app.
pub(crate) async fn create(
    State(state): State<HttpState>,
    Caller(caller): Caller<TeamPrincipal>,
    Json(body): Json<CreateApp>,
) -> Result<(StatusCode, Json<App>), ApiError> {
    let app = state.apps().create_app(&caller, &body.slug, body.description).await?;
    Ok((StatusCode::CREATED, Json(render::app(app))))
}
