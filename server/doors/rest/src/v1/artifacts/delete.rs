//! `DELETE /runs/{run}/artifacts/{path}`.

use axum::extract::State;
use http::StatusCode;
use minitower_teams::team::TeamPrincipal;

use crate::auth::Caller;
use crate::extract::Path;
use crate::v1::params::ArtifactPath;
use crate::{ApiError, HttpState};

/// Deletes a file that a run left behind.
pub(crate) async fn delete(
    State(state): State<HttpState>,
    Caller(caller): Caller<TeamPrincipal>,
    Path(path): Path<ArtifactPath>,
) -> Result<StatusCode, ApiError> {
    let (run, path) = path.parse()?;
    state.runs().delete_artifact(&caller, run, path).await?;
    Ok(StatusCode::NO_CONTENT)
}
