//! The life of an attempt under its lease: start, heartbeat, log, result, release.

use axum::extract::State;
use minitower_runs::domain::lease::Outcome;
use minitower_runs::{LogLine as StoredLine, Report};
use minitower_vocabulary::time::Timestamp;
use minitower_vocabulary::wire::runner::{AttemptState, LogBatch, Ok as Done, RunResult};
use minitower_vocabulary::wire::runs::{LogLine, Stream};

use crate::auth::{Caller, LeaseHolder};
use crate::extract::{Json, Path};
use crate::openapi::errors;
use crate::v1::params::{RunPath, note_attempt};
use crate::{ApiError, HttpState, render};

/// Starts the attempt.
///
/// The lease is not extended. Repeating the call gives the same answer.
#[utoipa::path(post, path = "/api/v1/runs/{run}/start", operation_id = "start_attempt", tag = "Runner protocol",
    params(RunPath),
    responses((status = 200, description = "The attempt after the call.", body = AttemptState)))]
pub(crate) async fn start(
    State(state): State<HttpState>,
    Caller(LeaseHolder { runner, lease_token }): Caller<LeaseHolder>,
    Path(path): Path<RunPath>,
) -> Result<Json<AttemptState>, ApiError> {
    let (run, attempt) = state.leases().start_run(&runner, path.id(), &lease_token).await?;
    note_attempt(&attempt);
    Ok(Json(render::attempt_state(&run, &attempt)))
}

/// Extends the lease.
///
/// The answer says whether a cancel was requested.
#[utoipa::path(post, path = "/api/v1/runs/{run}/heartbeat", operation_id = "heartbeat", tag = "Runner protocol",
    params(RunPath),
    responses((status = 200, description = "The attempt after the call.", body = AttemptState)))]
pub(crate) async fn heartbeat(
    State(state): State<HttpState>,
    Caller(LeaseHolder { runner, lease_token }): Caller<LeaseHolder>,
    Path(path): Path<RunPath>,
) -> Result<Json<AttemptState>, ApiError> {
    let (run, attempt) = state.leases().heartbeat(&runner, path.id(), &lease_token).await?;
    note_attempt(&attempt);
    Ok(Json(render::attempt_state(&run, &attempt)))
}

errors! { LogErrors { Conflict: "The team has as much storage as its limits allow.", } }

/// Stores lines of the log.
///
/// A batch has at most 100 lines of at most 8 KiB each. Lines that the server has already are ignored. Of a log that is
/// longer than the team's limit the server keeps the beginning and the end, and one line that says what is missing.
#[utoipa::path(post, path = "/api/v1/runs/{run}/logs", operation_id = "append_logs", tag = "Runner protocol",
    params(RunPath), request_body = LogBatch,
    responses((status = 200, description = "The lines are stored.", body = Done), LogErrors))]
pub(crate) async fn logs(
    State(state): State<HttpState>,
    Caller(LeaseHolder { runner, lease_token }): Caller<LeaseHolder>,
    Path(path): Path<RunPath>,
    Json(body): Json<LogBatch>,
) -> Result<Json<Done>, ApiError> {
    let lines = body.logs.into_iter().map(stored).collect();
    state.leases().append_logs(&runner, path.id(), &lease_token, lines).await?;
    Ok(Json(Done::default()))
}

fn stored(line: LogLine) -> StoredLine {
    let LogLine { seq, stream, line, logged_at } = line;
    StoredLine {
        seq,
        stderr: stream == Stream::Stderr,
        line,
        logged_at: Timestamp(logged_at.as_millisecond()),
    }
}

errors! { ResultErrors {
    Conflict: "The attempt has ended with another result, or a cancel was requested and the result is not `cancelled`.",
} }

/// Reports how the job ended.
///
/// Sending the same result again gives the same answer.
#[utoipa::path(post, path = "/api/v1/runs/{run}/result", operation_id = "finish_attempt", tag = "Runner protocol",
    params(RunPath), request_body = RunResult,
    responses((status = 200, description = "The result is stored.", body = Done), ResultErrors))]
pub(crate) async fn result(
    State(state): State<HttpState>,
    Caller(LeaseHolder { runner, lease_token }): Caller<LeaseHolder>,
    Path(path): Path<RunPath>,
    Json(body): Json<RunResult>,
) -> Result<Json<Done>, ApiError> {
    let RunResult { status, exit_code, error_message, reason, output, logs } = body;
    let outcome = Outcome { status, exit_code, error_message, reason };
    let lines = logs.into_iter().map(stored).collect();
    let report = Report { outcome, output, lines };
    state.leases().finish_run(&runner, path.id(), &lease_token, report).await?;
    Ok(Json(Done::default()))
}

/// Gives the run back to the queue.
///
/// The run returns to its old place, and no retry is consumed.
#[utoipa::path(post, path = "/api/v1/runs/{run}/release", operation_id = "release_attempt", tag = "Runner protocol",
    params(RunPath),
    responses((status = 200, description = "The run is queued again, or cancelled if that was requested.", body = Done)))]
pub(crate) async fn release(
    State(state): State<HttpState>,
    Caller(LeaseHolder { runner, lease_token }): Caller<LeaseHolder>,
    Path(path): Path<RunPath>,
) -> Result<Json<Done>, ApiError> {
    state.leases().release_run(&runner, path.id(), &lease_token).await?;
    Ok(Json(Done::default()))
}
