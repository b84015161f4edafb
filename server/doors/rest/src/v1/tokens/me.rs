//! `GET /me`.

use minitower_teams::team::TeamPrincipal;
use minitower_vocabulary::wire::auth::Me;
use minitower_vocabulary::wire::error::ErrorCode;

use crate::auth::Caller;
use crate::extract::Json;
use crate::{ApiError, render};

/// Says who the caller is. The API token of an attempt does not come here: it has neither an id nor a role.
pub(crate) async fn me(Caller(caller): Caller<TeamPrincipal>) -> Result<Json<Me>, ApiError> {
    let (token_id, role) = caller.token().ok_or_else(|| {
        ApiError::new(
            ErrorCode::Forbidden,
            "this call is about team tokens, and the API token of a run is none",
        )
    })?;
    let TeamPrincipal { team_id, team_slug, credential: _ } = caller;
    Ok(Json(Me { team_id: team_id.0, team_slug, token_id: token_id.0, role: render::role(role) }))
}
