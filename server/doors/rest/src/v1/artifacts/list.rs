//! `GET /runs/{run}/artifacts`.

use axum::extract::State;
use minitower_kernel::page::Page;
use minitower_teams::team::TeamPrincipal;
use minitower_vocabulary::wire::runs::Artifacts;

use crate::auth::Caller;
use crate::extract::{Json, Path, Query};
use crate::v1::params::{After, RunPath};
use crate::{ApiError, HttpState, render};

/// Lists what a run left behind, by path, from behind the path `after`.
pub(crate) async fn list(
    State(state): State<HttpState>,
    Caller(caller): Caller<TeamPrincipal>,
    Path(path): Path<RunPath>,
    Query(After { after, limit }): Query<After<String>>,
) -> Result<Json<Artifacts>, ApiError> {
    let artifacts = state.runs().artifacts(&caller, path.id(), Page::new(after, limit)?).await?;
    Ok(Json(Artifacts { artifacts: artifacts.into_iter().map(render::artifact).collect() }))
}
