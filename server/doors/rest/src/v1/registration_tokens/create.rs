//! `POST /registration-tokens`.

use axum::extract::State;
use http::StatusCode;
use minitower_teams::team::TeamPrincipal;
use minitower_vocabulary::wire::auth::RegistrationTokenCreated;

use crate::auth::Caller;
use crate::extract::Json;
use crate::{ApiError, HttpState};

/// Makes a registration token of the team.
pub(crate) async fn create(
    State(state): State<HttpState>,
    Caller(caller): Caller<TeamPrincipal>,
) -> Result<(StatusCode, Json<RegistrationTokenCreated>), ApiError> {
    let (id, token) = state.teams().create_registration_token(&caller).await?;
    Ok((StatusCode::CREATED, Json(RegistrationTokenCreated { id: id.0, token })))
}
