//! The poll: a runner asks for its next run.

use std::time::Duration;

use axum::extract::State;
use axum::response::{IntoResponse as _, Response};
use http::StatusCode;
use minitower_runs::domain::claim::Poll;
use minitower_runs::domain::runner::{RunnerPrincipal, RunnerScope};
use minitower_runs::{MAX_WAIT, Offer};
use minitower_vocabulary::limits::LimitName;
use minitower_vocabulary::wire::runner::{Lease, LeaseQuery, LeaseRequest};

use crate::auth::Caller;
use crate::extract::{Json, OptionalJson, Query};
use crate::openapi::errors;
use crate::v1::params::note_attempt;
use crate::{ApiError, HttpState, render};

errors! { PollErrors {
    Conflict: "The runner holds an attempt that has not ended.",
    RateLimited: "The runner's team has as many requests waiting as its limits allow.",
} }

/// Polls for the next run.
///
/// With `wait` the server holds the request until there is a run, or the time is over. A runner that is fenced or has
/// signed off gets no run. Polling again with the same `request_id` repeats a lost answer, until the attempt starts.
/// With `start` the poll starts the attempt, and repeats the answer until the first `start`, heartbeat, log or result of that attempt.
#[utoipa::path(post, path = "/api/v1/runs/lease", operation_id = "lease_run", tag = "Runner protocol",
    params(LeaseQuery), request_body = Option<LeaseRequest>,
    responses(
        (status = 200, description = "A lease of the next run.", body = Lease),
        (status = 204, description = "There is no run for this runner."),
        PollErrors,
    ))]
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
    let LeaseRequest { request_id, instance_id, supersedes, start } = body;
    let _open = match caller.scope {
        RunnerScope::Team(team) if !wait.is_zero() => {
            Some(state.teams().open_request(team, LimitName::LongPolls)?)
        }
        RunnerScope::Team(_) | RunnerScope::Platform => None,
    };
    let poll = Poll { request_id, instance_id, supersedes, start: start == Some(true) };
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

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use http::header::AUTHORIZATION;
    use http::{Method, StatusCode};
    use serde_json::{Value, json};
    use tokio::time::timeout;

    use crate::tests::bed::{Bed, archive, form};
    use crate::tests::{REGISTRATION_TOKEN, json, request, send};

    #[tokio::test]
    async fn a_poll_whose_caller_goes_away_takes_no_run_with_it() {
        let bed = Bed::start().await;
        let body = form(&[("artifact", &archive()), ("entrypoint", b"main.py")]);
        assert_eq!(send(&bed.service, bed.upload(body.into())).await.status(), StatusCode::CREATED);
        let register = |name: &str| {
            let mut register =
                request(Method::POST, "/api/v1/runners/register", json!({"name": name}).to_string());
            register
                .headers_mut()
                .insert(AUTHORIZATION, format!("Bearer {REGISTRATION_TOKEN}").parse().unwrap());
            register
        };
        let poll = |runner: &Value, wait: u32| {
            let mut poll = request(Method::POST, &format!("/api/v1/runs/lease?wait={wait}"), "");
            let token = runner["token"].as_str().unwrap();
            poll.headers_mut().insert(AUTHORIZATION, format!("Bearer {token}").parse().unwrap());
            poll
        };
        let gone = json(send(&bed.service, register("gone")).await).await;
        let there = json(send(&bed.service, register("there")).await).await;
        let waiting = send(&bed.service, poll(&gone, 60));
        assert!(timeout(Duration::from_millis(100), waiting).await.is_err());
        let run = bed.post("/api/v1/apps/hello/runs", json!({})).await;
        let leased = json(send(&bed.service, poll(&there, 10)).await).await;
        assert_eq!(leased["run_id"], run["run_id"]);
        assert_eq!(leased["attempt_no"], 1, "the poll that went away held no lease");
    }
}
