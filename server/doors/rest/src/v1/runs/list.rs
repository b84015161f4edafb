//! Many runs: the lists and the summary.

use axum::extract::State;
use minitower_runs::ListRuns;
use minitower_teams::team::TeamPrincipal;
use minitower_vocabulary::ids::RunId;
use minitower_vocabulary::statuses::RunStatus;
use minitower_vocabulary::wire::runs::{Runs, RunsSummary};
use serde::Deserialize;
use utoipa::IntoParams;

use crate::auth::Caller;
use crate::extract::{Json, Named, Path, Query, Repeated, shortened};
use crate::openapi::errors;
use crate::v1::params::{AppPath, page_limit, page_offset};
use crate::{ApiError, HttpState, render};

/// The query. Existing clients rely on numbers being read leniently, so those come as text.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub(crate) struct OfTeam {
    /// At most this many, 1 to 100. Any other number asks for the default, 50.
    #[param(value_type = Option<i64>)]
    limit: Option<String>,
    /// Skips this many of the newest. Anything but a whole number from 0 skips none.
    #[param(value_type = Option<i64>)]
    offset: Option<String>,
    /// Only runs with a smaller id.
    before: Option<i64>,
    /// Only runs with this status. An unknown status is refused.
    #[param(value_type = Option<RunStatus>)]
    status: Option<String>,
    /// Only runs of the app with this slug. The list of an unknown app is empty.
    app: Option<String>,
    /// Only runs in this environment.
    environment: Option<String>,
}

/// Lists the team's runs, newest first.
#[utoipa::path(get, path = "/api/v1/runs", operation_id = "list_runs", tag = "Runs",
    params(
        OfTeam,
        ("label" = Option<Vec<String>>, Query, style = Form, explode,
            description = "Only runs with this label, as `key=value`. Give it more than once for runs that have all of them."),
    ),
    responses((status = 200, description = "One page of runs.", body = Runs)))]
pub(crate) async fn list(
    State(state): State<HttpState>,
    Caller(caller): Caller<TeamPrincipal>,
    Query(params): Query<OfTeam>,
    Repeated(labels, _): Repeated<Label>,
) -> Result<Json<Runs>, ApiError> {
    let filter = ListRuns {
        app: given(params.app),
        status: given(params.status).map(|text| status(&text)).transpose()?,
        environment: given(params.environment),
        labels,
        before: params.before.map(RunId),
        limit: page_limit(params.limit.as_deref()),
        offset: page_offset(params.offset.as_deref()),
    };
    let runs = state.runs().list_runs(&caller, filter).await?;
    Ok(Json(Runs { runs: runs.into_iter().map(render::listed).collect::<Result<_, _>>()? }))
}

/// `label`, which may come more than once.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Label;

impl Named for Label {
    const NAME: &'static str = "label";
}

/// `?status=` without a value filters nothing.
fn given(text: Option<String>) -> Option<String> {
    text.filter(|text| !text.is_empty())
}

pub(super) fn status(text: &str) -> Result<RunStatus, ApiError> {
    RunStatus::parse(text).ok_or_else(|| {
        let known = RunStatus::ALL.map(RunStatus::as_str).join(", ");
        let text = shortened(text);
        ApiError::invalid_request(format!("{text} is not a valid status: it must be one of {known}"))
    })
}

/// The query. Existing clients rely on numbers being read leniently, so those come as text.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub(crate) struct OfApp {
    /// At most this many, 1 to 100. Any other number asks for the default, 50.
    #[param(value_type = Option<i64>)]
    limit: Option<String>,
    /// Skips this many of the newest. Anything but a whole number from 0 skips none.
    #[param(value_type = Option<i64>)]
    offset: Option<String>,
}

errors! { OfAppErrors { NotFound: "The team has no such app.", } }

/// Lists an app's runs, newest first.
#[utoipa::path(get, path = "/api/v1/apps/{app}/runs", operation_id = "list_app_runs", tag = "Runs",
    params(AppPath, OfApp),
    responses((status = 200, description = "One page of runs.", body = Runs), OfAppErrors))]
pub(crate) async fn list_of_app(
    State(state): State<HttpState>,
    Caller(caller): Caller<TeamPrincipal>,
    Path(path): Path<AppPath>,
    Query(params): Query<OfApp>,
) -> Result<Json<Runs>, ApiError> {
    let list = ListRuns {
        limit: page_limit(params.limit.as_deref()),
        offset: page_offset(params.offset.as_deref()),
        ..ListRuns::default()
    };
    let runs = state.runs().list_runs_of_app(&caller, path.app, list).await?;
    Ok(Json(Runs { runs: runs.into_iter().map(render::listed).collect::<Result<_, _>>()? }))
}

/// Counts the team's runs.
#[utoipa::path(get, path = "/api/v1/runs/summary", operation_id = "runs_summary", tag = "Runs",
    responses((status = 200, description = "How many runs there are.", body = RunsSummary)))]
pub(crate) async fn summary(
    State(state): State<HttpState>,
    Caller(caller): Caller<TeamPrincipal>,
) -> Result<Json<RunsSummary>, ApiError> {
    let summary = state.runs().runs_summary(&caller).await?;
    Ok(Json(RunsSummary {
        total_runs: summary.total,
        active_runs: summary.active,
        queued_runs: summary.queued,
        terminal_runs: summary.terminal,
    }))
}
