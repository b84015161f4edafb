//! `DELETE /registration-tokens/{id}`.

use axum::extract::State;
use http::StatusCode;
use minitower_teams::team::TeamPrincipal;
use minitower_vocabulary::ids::RegistrationTokenId;

use crate::auth::Caller;
use crate::extract::Path;
use crate::v1::params::IdPath;
use crate::{ApiError, HttpState};

/// Revokes a registration token; runners that registered with it stay.
pub(crate) async fn delete(
    State(state): State<HttpState>,
    Caller(caller): Caller<TeamPrincipal>,
    Path(path): Path<IdPath>,
) -> Result<StatusCode, ApiError> {
    state.teams().delete_registration_token(&caller, RegistrationTokenId(path.id)).await?;
    Ok(StatusCode::NO_CONTENT)
}
