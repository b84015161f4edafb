//! `GET /apps/{app}/versions`.

use axum::extract::State;
use minitower_kernel::page::Page;
use minitower_teams::team::TeamPrincipal;
use minitower_vocabulary::wire::apps::Versions;

use crate::auth::Caller;
use crate::extract::{Json, Path, Query};
use crate::v1::params::{AppPath, Before};
use crate::{ApiError, HttpState, render};

/// Lists an app's versions, newest first, from behind the number `before`.
pub(crate) async fn list(
    State(state): State<HttpState>,
    Caller(caller): Caller<TeamPrincipal>,
    Path(path): Path<AppPath>,
    Query(Before { before, limit }): Query<Before<i64>>,
) -> Result<Json<Versions>, ApiError> {
    let versions = state.apps().versions(&caller, path.app, Page::new(before, limit)?).await?;
    let versions = versions.into_iter().map(render::version).collect::<Result<_, _>>()?;
    Ok(Json(Versions { versions }))
}
