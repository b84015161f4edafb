//! One run: the run itself and its attempts.

use std::time::Duration;

use axum::extract::State;
use http::HeaderMap;
use minitower_kernel::page::Page;
use minitower_teams::team::TeamPrincipal;
use minitower_vocabulary::limits::LimitName;
use minitower_vocabulary::wire::runs::{Attempts, Run};
use serde::Deserialize;
use utoipa::IntoParams;

use crate::auth::Caller;
use crate::extract::{Json, Path, Query};
use crate::lasting::Lasting;
use crate::openapi::errors;
use crate::v1::params::{After, RunPath};
use crate::{ApiError, HttpState, render};

errors! { NoRun { NotFound: "The team has no such run.", } }
errors! { ShowErrors {
    NotFound: "The team has no such run.",
    RateLimited: "The team has as many requests open as its limits allow.",
} }

/// The query.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub(crate) struct ShowQuery {
    /// How long the server may hold the request until the run has ended, in seconds, 0 to 60.
    #[param(minimum = 0, maximum = 60)]
    wait: Option<u64>,
}

/// Shows a run.
///
/// With `wait` the server answers as soon as the run has ended. If the time is over before, or the server stops, it shows
/// the run as it is then.
#[utoipa::path(get, path = "/api/v1/runs/{run}", operation_id = "show_run", tag = "Runs",
    params(RunPath, ShowQuery),
    responses((status = 200, description = "The run.", body = Run), ShowErrors))]
pub(crate) async fn show(
    State(state): State<HttpState>,
    Caller(caller): Caller<TeamPrincipal>,
    Path(path): Path<RunPath>,
    headers: HeaderMap,
    Query(ShowQuery { wait }): Query<ShowQuery>,
) -> Result<Json<Run>, ApiError> {
    let run = match wait {
        None => state.runs().run(&caller, path.id()).await?,
        Some(seconds) => {
            // What is answered at once is not held open.
            let _open = match seconds {
                0 => None,
                _ => Some(state.teams().open_request(caller.team_id, LimitName::LongPolls)?),
            };
            let ended = state.runs().run_ended(&caller, path.id(), Duration::from_secs(seconds));
            Lasting::of(&state, &headers).during(ended).await??
        }
    };
    Ok(Json(render::run(run)?))
}

/// Lists a run's attempts, oldest first.
///
/// The end of the list is an empty page.
#[utoipa::path(get, path = "/api/v1/runs/{run}/attempts", operation_id = "list_attempts", tag = "Runs",
    params(
        RunPath,
        ("after" = Option<i64>, Query, description = "Only attempts with a larger number."),
        ("limit" = Option<i64>, Query, minimum = 1, maximum = 1000, description = "At most this many. Default 1000."),
    ),
    responses((status = 200, description = "One page of attempts.", body = Attempts), NoRun))]
pub(crate) async fn attempts(
    State(state): State<HttpState>,
    Caller(caller): Caller<TeamPrincipal>,
    Path(path): Path<RunPath>,
    Query(After { after, limit }): Query<After<i64>>,
) -> Result<Json<Attempts>, ApiError> {
    let attempts = state.runs().run_attempts(&caller, path.id(), Page::new(after, limit)?).await?;
    Ok(Json(Attempts { attempts: attempts.into_iter().map(render::attempt).collect() }))
}
