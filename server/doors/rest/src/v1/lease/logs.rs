//! `POST /runs/{run}/logs`.

use axum::extract::State;
use minitower_runs::LogLine as StoredLine;
use minitower_vocabulary::time::Timestamp;
use minitower_vocabulary::wire::runner::{LogBatch, Ok as Done};
use minitower_vocabulary::wire::runs::{LogLine, Stream};

use crate::auth::{Caller, LeaseHolder};
use crate::extract::{Json, Path};
use crate::v1::params::RunPath;
use crate::{ApiError, HttpState};

/// The runner stores a batch of log lines.
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
