//! Many runs at once, by what they have in common.

use axum::extract::State;
use minitower_runs::Which;
use minitower_teams::team::TeamPrincipal;
use minitower_vocabulary::ids::RunId;
use minitower_vocabulary::wire::many_runs::{CancelledRuns, ManyRuns, OneOrMany, RetriedRuns};

use super::list::status;
use crate::auth::Caller;
use crate::extract::{Json, OptionalJson};
use crate::openapi::errors;
use crate::{ApiError, HttpState};

errors! { CancelErrors {
    InvalidRequest: "A field breaks a rule, or nothing says which runs are meant.",
    NotFound: "The team has no such app or environment.",
} }

/// Cancels runs.
///
/// Of the runs that are meant, queued ones end at once, and those that runners hold become `cancelling`. `status` may be `queued`,
/// `leased` or `running`; without it the call means all three. A run that is created meanwhile is left alone. A call takes some 20 seconds
/// at most: with a `next_before`, call again with that as `before`.
#[utoipa::path(post, path = "/api/v1/runs/cancel", operation_id = "cancel_runs", tag = "Runs",
    request_body = Option<ManyRuns>,
    responses((status = 200, description = "How many runs were cancelled.", body = CancelledRuns), CancelErrors))]
pub(crate) async fn cancel(
    State(state): State<HttpState>,
    Caller(caller): Caller<TeamPrincipal>,
    OptionalJson(body): OptionalJson<ManyRuns>,
) -> Result<Json<CancelledRuns>, ApiError> {
    let only_count = body.dry_run == Some(true);
    let which = which(body)?;
    if only_count {
        let cancelled = state.runs().count_cancellable(&caller, which).await?;
        return Ok(Json(CancelledRuns { cancelled, next_before: None }));
    }
    let handled = state.runs().cancel_runs(&caller, which).await?;
    let next_before = handled.next_before.map(|run| run.0);
    Ok(Json(CancelledRuns { cancelled: handled.runs, next_before }))
}

errors! { RetryErrors {
    InvalidRequest: "A field breaks a rule, or nothing says which runs are meant.",
    NotFound: "The team has no such app or environment.",
    Conflict: "The team is at a limit, of queued runs or of storage, before the first run.",
    RateLimited: "The team has created as many runs today as its limits allow.",
} }

/// Runs runs again.
///
/// Each new run is like the one that it repeats, which it names as `retry_of`. `status` may be `failed`, `dead`, `cancelled` or
/// `completed`; without it the call means `failed` and `dead`. A run that another one repeats already is left alone, so repeating the call
/// starts nothing twice. A call makes at most 1000 runs: with a `next_before`, call again with that as `before`.
#[utoipa::path(post, path = "/api/v1/runs/retry", operation_id = "retry_runs", tag = "Runs",
    request_body = Option<ManyRuns>,
    responses((status = 200, description = "The runs that were made.", body = RetriedRuns), RetryErrors))]
pub(crate) async fn retry(
    State(state): State<HttpState>,
    Caller(caller): Caller<TeamPrincipal>,
    OptionalJson(body): OptionalJson<ManyRuns>,
) -> Result<Json<RetriedRuns>, ApiError> {
    let only_count = body.dry_run == Some(true);
    let which = which(body)?;
    if only_count {
        let retried = state.runs().count_repeatable(&caller, which).await?;
        return Ok(Json(RetriedRuns { retried, run_ids: Vec::new(), skipped: 0, next_before: None }));
    }
    let handled = state.runs().retry_runs(&caller, which).await?;
    Ok(Json(RetriedRuns {
        retried: handled.runs,
        run_ids: handled.made.into_iter().map(|run| run.0).collect(),
        skipped: handled.skipped,
        next_before: handled.next_before.map(|run| run.0),
    }))
}

fn which(body: ManyRuns) -> Result<Which, ApiError> {
    let ManyRuns { app, status: statuses, environment, label, before, dry_run: _ } = body;
    let statuses = texts("status", statuses)?.iter().map(|text| status(text)).collect::<Result<_, _>>()?;
    let labels = texts("label", label)?;
    Ok(Which { app, statuses, environment, labels, before: before.map(RunId) })
}

fn texts(field: &str, given: Option<OneOrMany>) -> Result<Vec<String>, ApiError> {
    let Some(texts) = given.map(OneOrMany::into_list) else { return Ok(Vec::new()) };
    if texts.is_empty() {
        return Err(ApiError::invalid_request(format!(
            "{field} is an empty list: name one, or leave it out"
        )));
    }
    Ok(texts)
}
