//! `GET /auth/options`.

use axum::extract::State;
use minitower_vocabulary::wire::auth::AuthOptions;

use crate::HttpState;
use crate::extract::Json;

/// Says which doors are open.
pub(crate) async fn options(State(state): State<HttpState>) -> Json<AuthOptions> {
    let (signup_enabled, bootstrap_enabled) = state.teams().auth_options();
    Json(AuthOptions { signup_enabled, bootstrap_enabled })
}
