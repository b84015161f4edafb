//! What is answered while the disks do not read and write.

use axum::extract::{Request, State};
use axum::middleware::Next;
use axum::response::{IntoResponse as _, Response};
use minitower_vocabulary::wire::error::ErrorCode;

use crate::{ApiError, HttpState};

/// Routes that answer from memory alone, or say themselves what is wrong.
const NEED_NO_DISK: [&str; 6] =
    ["/health", "/ready", "/metrics", "/version", "/api/openapi.json", "/api/docs"];

/// Answers 503 with the reason while nothing can be read or written. A request that is under way is not waited for: a dead file system
/// would never let it end.
pub(crate) async fn refuse_in_trouble(
    State(state): State<HttpState>,
    request: Request,
    next: Next,
) -> Response {
    if NEED_NO_DISK.contains(&request.uri().path()) {
        return next.run(request).await;
    }
    let volumes = state.volumes();
    if let Some(reason) = volumes.trouble() {
        return refusal(&reason, "nothing was done, try again");
    }
    tokio::select! {
        biased;
        response = next.run(request) => response,
        reason = volumes.in_trouble() => refusal(&reason, "this request may have been carried out or not"),
    }
}

fn refusal(reason: &str, outcome: &str) -> Response {
    ApiError::new(ErrorCode::Unavailable, format!("{reason}: {outcome}")).into_response()
}
