//! `POST /runs/lease`.

use std::time::Duration;

use axum::extract::State;
use axum::response::{IntoResponse as _, Response};
use http::StatusCode;
use minitower_runs::domain::claim::Poll;
use minitower_runs::domain::runner::RunnerPrincipal;
use minitower_runs::{MAX_WAIT, Offer};
use minitower_vocabulary::wire::runner::{LeaseQuery, LeaseRequest};

use crate::auth::Caller;
use crate::extract::{Json, OptionalJson, Query};
use crate::v1::params::note_attempt;
use crate::{ApiError, HttpState, render};

/// Gives the runner its next run, at once or as soon as there is one; 204 when there is none.
pub(crate) async fn poll(
    State(state): State<HttpState>,
    Caller(caller): Caller<RunnerPrincipal>,
    Query(query): Query<LeaseQuery>,
    OptionalJson(body): OptionalJson<LeaseRequest>,
) -> Result<Response, ApiError> {
    let wait = Duration::from_secs(query.wait.unwrap_or(0));
    if wait > MAX_WAIT {
        let most = MAX_WAIT.as_secs();
        return Err(ApiError::invalid_request(format!("wait must be 0 to {most} seconds")));
    }
    // `start` is not known here yet: the answer has no `status`, and the runner calls start.
    let LeaseRequest { request_id, instance_id, supersedes, start: _ } = body;
    let poll = Poll { request_id, instance_id, supersedes };
    let offer = state.leases().lease(&caller, poll, wait).await?;
    // From here to the socket nothing waits: whoever was still there a moment ago gets the answer. A caller that went
    // away before ends this future instead, and the offer with it.
    match offer.and_then(Offer::deliver) {
        Some(grant) => {
            note_attempt(&grant.attempt);
            Ok(Json(render::lease(*grant)?).into_response())
        }
        None => Ok(StatusCode::NO_CONTENT.into_response()),
    }
}
