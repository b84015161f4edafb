//! `GET /environments`.

use axum::extract::State;
use minitower_kernel::page::Page;
use minitower_teams::team::TeamPrincipal;
use minitower_vocabulary::wire::environments::Environments;

use crate::auth::Caller;
use crate::extract::{Json, Query};
use crate::v1::params::After;
use crate::{ApiError, HttpState, render};

/// Lists the team's environments by name, from behind the name `after`.
pub(crate) async fn list(
    State(state): State<HttpState>,
    Caller(caller): Caller<TeamPrincipal>,
    Query(After { after, limit }): Query<After<String>>,
) -> Result<Json<Environments>, ApiError> {
    let environments = state.teams().environments(&caller, Page::new(after, limit)?).await?;
    Ok(Json(Environments { environments: environments.into_iter().map(render::environment).collect() }))
}
