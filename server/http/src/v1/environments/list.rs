//! `GET /environments`.

use crate::domain::team::TeamPrincipal;
use axum::extract::State;
use minitower_app::page::Page;
use minitower_wire::environments::Environments;

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
    let environments = state.app().environments(&caller, Page::new(after, limit)?).await?;
    Ok(Json(Environments { environments: environments.into_iter().map(render::environment).collect() }))
}
