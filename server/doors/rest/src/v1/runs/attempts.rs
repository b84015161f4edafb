//! `GET /runs/{run}/attempts`.

use axum::extract::State;
use minitower_kernel::page::Page;
use minitower_teams::team::TeamPrincipal;
use minitower_vocabulary::wire::runs::Attempts;

use crate::auth::Caller;
use crate::extract::{Json, Path, Query};
use crate::v1::params::{After, RunPath};
use crate::{ApiError, HttpState, render};

/// Lists a run's attempts, oldest first, from behind the number `after`.
pub(crate) async fn attempts(
    State(state): State<HttpState>,
    Caller(caller): Caller<TeamPrincipal>,
    Path(path): Path<RunPath>,
    Query(After { after, limit }): Query<After<i64>>,
) -> Result<Json<Attempts>, ApiError> {
    let attempts = state.runs().run_attempts(&caller, path.id(), Page::new(after, limit)?).await?;
    Ok(Json(Attempts { attempts: attempts.into_iter().map(render::attempt).collect() }))
}
