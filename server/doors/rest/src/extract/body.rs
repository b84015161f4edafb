//! Reading request bodies within limits of size and time.

use std::time::Duration;

use axum::body::Body;
use bytes::{Bytes, BytesMut};
use futures_util::{Stream, StreamExt as _};
use http::HeaderMap;
use http::header::CONTENT_LENGTH;
use tokio::time::{Instant, timeout, timeout_at};

use crate::ApiError;
use crate::serve::BodyRefused;

/// How long the whole of a JSON body may take to arrive.
const BODY_DEADLINE: Duration = Duration::from_secs(30);
/// How long an upload may go without a single byte.
pub(crate) const CHUNK_DEADLINE: Duration = Duration::from_secs(30);
/// Reads a whole body of at most `limit` bytes.
pub(crate) async fn read(headers: &HeaderMap, body: Body, limit: u64) -> Result<Bytes, ApiError> {
    if content_length(headers).is_some_and(|length| length > limit) {
        return Err(ApiError::payload_too_large("the request body", limit));
    }
    let deadline = Instant::now() + BODY_DEADLINE;
    let mut stream = body.into_data_stream();
    let mut first = Bytes::new();
    let mut rest = BytesMut::new();
    let mut length: u64 = 0;
    loop {
        let chunk = match timeout_at(deadline, stream.next()).await {
            Err(_) => return Err(too_slow(BODY_DEADLINE)),
            Ok(None) => break,
            Ok(Some(Err(error))) => return Err(broken(&error)),
            Ok(Some(Ok(chunk))) => chunk,
        };
        length = length.saturating_add(chunk.len() as u64);
        if length > limit {
            return Err(ApiError::payload_too_large("the request body", limit));
        }
        // Nearly every body is one chunk: it is used as it came, without a copy.
        if first.is_empty() && rest.is_empty() {
            first = chunk;
        } else {
            if rest.is_empty() {
                rest.extend_from_slice(&first);
            }
            rest.extend_from_slice(&chunk);
        }
    }
    Ok(if rest.is_empty() { first } else { rest.freeze() })
}

/// The next piece of a streamed body or part, refused when none comes for [`CHUNK_DEADLINE`].
pub(crate) async fn next_chunk<S, T, E>(stream: &mut S) -> Result<Option<Result<T, E>>, ApiError>
where
    S: Stream<Item = Result<T, E>> + Unpin,
{
    timeout(CHUNK_DEADLINE, stream.next()).await.map_err(|_| too_slow(CHUNK_DEADLINE))
}

/// The body's announced length.
pub(crate) fn content_length(headers: &HeaderMap) -> Option<u64> {
    headers.get(CONTENT_LENGTH)?.to_str().ok()?.parse().ok()
}

pub(crate) fn too_slow(limit: Duration) -> ApiError {
    ApiError::invalid_request(format!("the request body did not arrive within {} s", limit.as_secs()))
}

fn broken(error: &axum::Error) -> ApiError {
    if let Some(refused) = BodyRefused::cause_of(error) {
        return refused;
    }
    ApiError::invalid_request(format!("the request body could not be read: {error}"))
}
