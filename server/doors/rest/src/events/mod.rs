//! Server-sent events (<https://html.spec.whatwg.org/multipage/server-sent-events.html>): what subjects tell live, as streams.
//!
//! Here is what all streams have in common: frames, keep-alives, the pace, and their end with the token, with the server, or with what they
//! follow. `log` and `moves` say what a frame holds. What many follow is rendered once, and its bytes are shared.

mod log;
mod moves;

use std::fmt::Write as _;
use std::time::Duration;

use axum::body::Body;
use axum::response::Response;
use bytes::Bytes;
use futures_util::stream::{BoxStream, unfold};
use futures_util::{FutureExt as _, Stream, StreamExt as _};
use http::header::{CACHE_CONTROL, CONTENT_TYPE, X_CONTENT_TYPE_OPTIONS};
use http::{HeaderMap, HeaderName, HeaderValue};
use minitower_teams::OpenRequest;
use serde::Serialize;
use tokio::time::{Instant, sleep, sleep_until};

use crate::ApiError;
use crate::arriving::LOOK_AGAIN;
use crate::lasting::Lasting;

pub(crate) use log::{log_place, log_stream};
pub(crate) use moves::move_stream;

/// How long a stream says nothing at most: proxies give up connections that are silent for a minute.
const KEEP_ALIVE: Duration = Duration::from_secs(15);
/// Least time between two sendings once there is nothing more to send at once: many small commits become few writes.
const PACE: Duration = Duration::from_millis(40);
/// Most bytes that are handed on between two looks at the time: a slow reader takes long for a piece.
const PART_BYTES: usize = 32 * 1024;
/// How long clients are asked to wait before they come back, in milliseconds.
const RETRY_MS: u32 = 1000;
/// Longest `Last-Event-ID`.
const LONGEST_ID: usize = 64;

/// Where a client's last stream had come to.
const LAST_EVENT_ID: HeaderName = HeaderName::from_static("last-event-id");
/// Asks a proxy (nginx) to hand on each piece at once.
const X_ACCEL_BUFFERING: HeaderName = HeaderName::from_static("x-accel-buffering");

/// The text of `Last-Event-ID`; none if there is none, or an empty one.
pub(crate) fn last_event_id(headers: &HeaderMap) -> Result<Option<&str>, ApiError> {
    let Some(value) = headers.get(LAST_EVENT_ID) else { return Ok(None) };
    match value.to_str() {
        Ok("") => Ok(None),
        Ok(id) if id.len() <= LONGEST_ID => Ok(Some(id)),
        Ok(_) | Err(_) => Err(ApiError::invalid_request(format!(
            "Last-Event-ID: it must be the id of an event of this stream, at most {LONGEST_ID} characters"
        ))),
    }
}

/// One event's frame. The data is JSON, which has no line breaks.
fn frame(out: &mut String, event: Option<&str>, id: Option<&str>, data: &impl Serialize) {
    if let Some(event) = event {
        let _ = writeln!(out, "event: {event}");
    }
    if let Some(id) = id {
        let _ = writeln!(out, "id: {id}");
    }
    // Types of the wire cannot fail to serialise; an empty object is the safe thing if one ever did.
    let data = serde_json::to_string(data).unwrap_or_else(|_| "{}".to_owned());
    let _ = write!(out, "data: {data}\n\n");
}

/// The first thing that a stream says, so that its head is sent at once: when to come back, and perhaps from where.
fn greeting(id: Option<&str>) -> Bytes {
    let mut out = format!(": stream-start\nretry: {RETRY_MS}\n");
    if let Some(id) = id {
        let _ = writeln!(out, "id: {id}");
    }
    out.push('\n');
    out.into()
}

/// An answer that sends these pieces, and counts as open until its end.
fn streamed<S, E>(first: Bytes, pieces: S, lasting: Lasting, open: OpenRequest) -> Response
where
    S: Stream<Item = Result<Bytes, E>> + Send + 'static,
    E: std::error::Error + Send + 'static,
{
    let now = Instant::now();
    let sending =
        Sending { pieces: pieces.boxed(), rest: first, lasting, _open: open, looked: now, sent: now };
    let parts = unfold(sending, async |mut sending| sending.next().await.map(|part| (part, sending)));
    let mut response = Response::new(Body::from_stream(parts.map(Ok::<_, std::convert::Infallible>)));
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("text/event-stream"));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-cache"));
    headers.insert(X_ACCEL_BUFFERING, HeaderValue::from_static("no"));
    headers.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    response
}

/// A stream that is being sent.
struct Sending<E> {
    pieces: BoxStream<'static, Result<Bytes, E>>,
    /// What is left of the last piece.
    rest: Bytes,
    lasting: Lasting,
    _open: OpenRequest,
    /// When the token was last found good.
    looked: Instant,
    /// When something was last sent.
    sent: Instant,
}

impl<E: std::error::Error + Send + 'static> Sending<E> {
    /// What to send next; none: the stream ends. A client that was not told that it is the end comes back.
    async fn next(&mut self) -> Option<Bytes> {
        while self.rest.is_empty() {
            if !self.is_good().await {
                return None;
            }
            // What is there already needs no pause.
            let piece = if let Some(piece) = self.pieces.next().now_or_never() {
                piece
            } else {
                sleep_until(self.sent + PACE).await;
                tokio::select! {
                    biased;
                    piece = self.pieces.next() => piece,
                    () = sleep_until(self.sent + KEEP_ALIVE) => {
                        Some(Ok(Bytes::from_static(b": keep-alive\n\n")))
                    }
                    () = sleep(LOOK_AGAIN) => continue,
                }
            };
            match piece? {
                Ok(piece) => self.rest = piece,
                Err(error) => {
                    let error = &error as &dyn std::error::Error;
                    tracing::error!(error, "a stream of events was broken off");
                    return None;
                }
            }
        }
        // It may have been waited for.
        if !self.is_good().await {
            return None;
        }
        self.sent = Instant::now();
        Some(self.rest.split_to(self.rest.len().min(PART_BYTES)))
    }

    /// Whether the token still holds; looked at once in a while.
    async fn is_good(&mut self) -> bool {
        if self.looked.elapsed() < LOOK_AGAIN {
            return true;
        }
        self.looked = Instant::now();
        self.lasting.check().await.is_ok()
    }
}
