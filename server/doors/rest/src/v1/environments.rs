//! A team's environments.

use axum::extract::State;
use http::StatusCode;
use minitower_kernel::page::Page;
use minitower_teams::team::{self, TeamPrincipal};
use minitower_vocabulary::wire::environments::{CreateEnvironment, Environment, Environments};

use super::params::After;
use crate::auth::Caller;
use crate::extract::{Json, Query};
use crate::openapi::errors;
use crate::render::moment;
use crate::{ApiError, HttpState};

/// Lists the team's environments by name.
///
/// The end of the list is an empty page.
#[utoipa::path(get, path = "/api/v1/environments", operation_id = "list_environments", tag = "Environments",
    params(
        ("after" = Option<String>, Query, description = "Only environments with a later name."),
        ("limit" = Option<i64>, Query, minimum = 1, maximum = 1000, description = "At most this many. Default 1000."),
    ),
    responses((status = 200, description = "One page of environments.", body = Environments)))]
pub(crate) async fn list(
    State(state): State<HttpState>,
    Caller(caller): Caller<TeamPrincipal>,
    Query(After { after, limit }): Query<After<String>>,
) -> Result<Json<Environments>, ApiError> {
    let environments = state.teams().environments(&caller, Page::new(after, limit)?).await?;
    Ok(Json(Environments { environments: environments.into_iter().map(environment).collect() }))
}

errors! { CreateErrors { Conflict: "The team has as many environments as its limits allow.", } }

/// Creates an environment.
///
/// A run or a runner also creates its environment on first use.
#[utoipa::path(post, path = "/api/v1/environments", operation_id = "create_environment", tag = "Environments",
    request_body = CreateEnvironment,
    responses(
        (status = 200, description = "The team has this environment already.", body = Environment),
        (status = 201, description = "The new environment.", body = Environment),
        CreateErrors,
    ))]
pub(crate) async fn create(
    State(state): State<HttpState>,
    Caller(caller): Caller<TeamPrincipal>,
    Json(body): Json<CreateEnvironment>,
) -> Result<(StatusCode, Json<Environment>), ApiError> {
    let (made, new) = state.teams().create_environment(&caller, body.name).await?;
    let status = if new { StatusCode::CREATED } else { StatusCode::OK };
    Ok((status, Json(environment(made))))
}

fn environment(environment: team::Environment) -> Environment {
    let team::Environment { name, created_at } = environment;
    Environment { name, created_at: moment(created_at) }
}
