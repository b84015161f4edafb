//! `DELETE /admin/runners/{name}`.

use axum::extract::State;
use http::StatusCode;
use minitower_teams::AdminPrincipal;

use crate::auth::Caller;
use crate::extract::Path;
use crate::v1::params::NamePath;
use crate::{ApiError, HttpState};

/// Forgets a runner and its fences.
pub(crate) async fn forget(
    State(state): State<HttpState>,
    Caller(caller): Caller<AdminPrincipal>,
    Path(path): Path<NamePath>,
) -> Result<StatusCode, ApiError> {
    state.runners().forget_runner(&caller, path.name).await?;
    Ok(StatusCode::NO_CONTENT)
}
