//! `POST /environments`.

use axum::extract::State;
use http::StatusCode;
use minitower_teams::team::TeamPrincipal;
use minitower_vocabulary::wire::environments::{CreateEnvironment, Environment};

use crate::auth::Caller;
use crate::extract::Json;
use crate::{ApiError, HttpState, render};

/// Makes an environment; one that is there already is answered as it is, with 200.
pub(crate) async fn create(
    State(state): State<HttpState>,
    Caller(caller): Caller<TeamPrincipal>,
    Json(body): Json<CreateEnvironment>,
) -> Result<(StatusCode, Json<Environment>), ApiError> {
    let (environment, made) = state.teams().create_environment(&caller, body.name).await?;
    let status = if made { StatusCode::CREATED } else { StatusCode::OK };
    Ok((status, Json(render::environment(environment))))
}
