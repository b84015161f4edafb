//! Runners and the demand for them, as administrators see them.

use axum::extract::State;
use http::StatusCode;
use minitower_runs::domain::runner as domain;
use minitower_runs::{self as admin, ListDemand, ListRunners, ListedRunner};
use minitower_teams::AdminPrincipal;
use minitower_vocabulary::wire::admin::{Drain, Drained, Ended, Runner, RunnerScope, RunnerStatus, Runners};
use minitower_vocabulary::wire::demand::{Demand, EnvironmentDemand};
use minitower_vocabulary::wire::runner::Ok as Done;
use serde::Deserialize;
use utoipa::IntoParams;

use super::params::NamePath;
use crate::auth::Caller;
use crate::extract::{Json, OptionalJson, Path, Query};
use crate::openapi::errors;
use crate::render::moment;
use crate::{ApiError, HttpState};

/// The query.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub(crate) struct ListQuery {
    /// Only runners of this pool.
    pool: Option<String>,
    /// Only runners of this environment.
    environment: Option<String>,
    /// Only runners with a later name.
    after: Option<String>,
    /// At most this many. Default 10,000.
    #[param(minimum = 1, maximum = 10000)]
    limit: Option<i64>,
}

/// Lists runners by name.
///
/// A team sees its own runners, and the platform's without their runs. The operator sees all. A page may
/// be shorter than its limit. The end of the list is an empty page.
#[utoipa::path(get, path = "/api/v1/admin/runners", operation_id = "list_runners", tag = "Runners",
    params(ListQuery),
    responses((status = 200, description = "One page of runners.", body = Runners)))]
pub(crate) async fn list(
    State(state): State<HttpState>,
    Caller(caller): Caller<AdminPrincipal>,
    Query(query): Query<ListQuery>,
) -> Result<Json<Runners>, ApiError> {
    let ListQuery { pool, environment, after, limit } = query;
    let list = ListRunners { pool, environment, after, limit };
    let runners = state.runners().list_runners(&caller, list).await?;
    Ok(Json(Runners { runners: runners.into_iter().map(shown).collect() }))
}

/// The query.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub(crate) struct DemandQuery {
    /// The `cursor` of the page before.
    after: Option<String>,
    /// At most this many environments. Default 10,000.
    #[param(minimum = 1, maximum = 10000)]
    limit: Option<i64>,
}

/// Lists how many runs wait and how many are held by runners, by team and environment.
///
/// This is for programs that scale runners. A team sees its own environments, the operator sees all. An environment that is
/// not listed has none of either. The last page has no `cursor`.
#[utoipa::path(get, path = "/api/v1/admin/demand", operation_id = "demand", tag = "Runners",
    params(DemandQuery),
    responses((status = 200, description = "One page of the demand.", body = Demand)))]
pub(crate) async fn demand(
    State(state): State<HttpState>,
    Caller(caller): Caller<AdminPrincipal>,
    Query(query): Query<DemandQuery>,
) -> Result<Json<Demand>, ApiError> {
    let DemandQuery { after, limit } = query;
    let admin::Demand { environments, cursor } =
        state.runners().demand(&caller, &ListDemand { after, limit })?;
    let environments = environments.into_iter().map(|of| {
        let admin::EnvironmentDemand { team, environment, pending, active } = of;
        EnvironmentDemand { team, environment, pending, active }
    });
    Ok(Json(Demand { environments: environments.collect(), cursor }))
}

errors! { NoRunner { NotFound: "The caller has no such runner.", } }

/// Fences a runner.
///
/// Nothing is leased to the runner while any owner holds a fence. The operator may fence a name before a runner
/// registers under it.
#[utoipa::path(post, path = "/api/v1/admin/runners/{name}/drain", operation_id = "drain_runner", tag = "Runners",
    params(NamePath), request_body = Option<Drain>,
    responses((status = 200, description = "The runner after the call.", body = Drained), NoRunner))]
pub(crate) async fn drain(
    State(state): State<HttpState>,
    Caller(caller): Caller<AdminPrincipal>,
    Path(path): Path<NamePath>,
    OptionalJson(body): OptionalJson<Drain>,
) -> Result<Json<Drained>, ApiError> {
    Ok(Json(fenced(state.runners().drain(&caller, path.name, body.owner).await?)))
}

/// Lifts a fence.
///
/// This lifts the fence of the caller, or of the named owner. Lifting a fence that is not held changes nothing.
#[utoipa::path(delete, path = "/api/v1/admin/runners/{name}/drain", operation_id = "undrain_runner", tag = "Runners",
    params(NamePath), request_body = Option<Drain>,
    responses((status = 200, description = "The runner after the call.", body = Drained), NoRunner))]
pub(crate) async fn undrain(
    State(state): State<HttpState>,
    Caller(caller): Caller<AdminPrincipal>,
    Path(path): Path<NamePath>,
    OptionalJson(body): OptionalJson<Drain>,
) -> Result<Json<Drained>, ApiError> {
    Ok(Json(fenced(state.runners().undrain(&caller, path.name, body.owner).await?)))
}

errors! { EndedErrors {
    InvalidRequest: "`instance_id` is missing, or a field breaks a rule.",
    NotFound: "The caller has no such runner.",
    Conflict: "The runner holds no run, or its run was leased to another process.",
} }

/// Reports that the process of a runner has ended for certain.
///
/// The attempt that was leased to this process expires now.
#[utoipa::path(post, path = "/api/v1/admin/runners/{name}/ended", operation_id = "runner_ended", tag = "Runners",
    params(NamePath), request_body = Option<Ended>,
    responses((status = 200, description = "The attempt has expired.", body = Done), EndedErrors))]
pub(crate) async fn ended(
    State(state): State<HttpState>,
    Caller(caller): Caller<AdminPrincipal>,
    Path(path): Path<NamePath>,
    OptionalJson(body): OptionalJson<Ended>,
) -> Result<Json<Done>, ApiError> {
    let Ended { instance_id, reason } = body;
    state.runners().process_ended(&caller, path.name, instance_id, reason).await?;
    Ok(Json(Done::default()))
}

errors! { ForgetErrors {
    NotFound: "The caller has no such runner.",
    Conflict: "The runner holds a run.",
} }

/// Forgets a runner and its fences.
#[utoipa::path(delete, path = "/api/v1/admin/runners/{name}", operation_id = "delete_runner", tag = "Runners",
    params(NamePath),
    responses((status = 204, description = "The runner is forgotten."), ForgetErrors))]
pub(crate) async fn forget(
    State(state): State<HttpState>,
    Caller(caller): Caller<AdminPrincipal>,
    Path(path): Path<NamePath>,
) -> Result<StatusCode, ApiError> {
    state.runners().forget_runner(&caller, path.name).await?;
    Ok(StatusCode::NO_CONTENT)
}

fn shown(listed: ListedRunner) -> Runner {
    let ListedRunner { runner, team_slug, online, run_visible } = listed;
    let domain::Runner {
        id,
        name,
        scope,
        environment,
        pool,
        labels,
        instance_id,
        last_seen_at,
        idle_since,
        run_id,
        attempt_started_at,
        draining,
    } = runner;
    Runner {
        runner_id: id.0,
        name,
        environment,
        status: if online { RunnerStatus::Online } else { RunnerStatus::Offline },
        last_seen_at: Some(moment(last_seen_at)),
        scope: match scope {
            domain::RunnerScope::Platform => RunnerScope::Platform,
            domain::RunnerScope::Team(_) => RunnerScope::Team,
        },
        team: team_slug.map(|slug| slug.to_string()),
        pool,
        labels,
        instance_id,
        busy: run_id.is_some(),
        idle_since: idle_since.map(moment),
        run_id: run_id.filter(|_| run_visible).map(|id| id.0),
        attempt_started_at: attempt_started_at.filter(|_| run_visible).map(moment),
        draining,
    }
}

fn fenced(drained: admin::Drained) -> Drained {
    let admin::Drained { name, run_id, draining } = drained;
    Drained { name, busy: run_id.is_some(), run_id: run_id.map(|id| id.0), draining }
}
