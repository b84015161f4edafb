//! One id, one span, one access log line and the HTTP metrics for every request.

use std::time::Instant;

use axum::extract::{MatchedPath, Request, State};
use axum::middleware::Next;
use axum::response::Response;
use http::{HeaderMap, HeaderName, HeaderValue};
use http_body::Body as _;
use tracing::Instrument as _;
use tracing::field::Empty;
use uuid::Uuid;

use crate::HttpState;
use crate::auth::RunnerProtocol;
use crate::error::AnsweredCode;
use crate::extract::content_length;
use crate::metrics::Exchange;

/// `X-Request-Id`.
pub(crate) const REQUEST_ID: HeaderName =
    HeaderName::from_static(minitower_vocabulary::wire::headers::REQUEST_ID);

/// Longest id taken from a caller, in bytes.
const MAX_ID_LENGTH: usize = 128;

/// The `path` label of requests that met no route: a label per unknown path would let strangers fill the memory.
const UNMATCHED: &str = "unmatched";

/// Routes that machines call every few seconds; their lines, as those of the runner protocol, say nothing unless something is wrong.
const PROBES: [&str; 3] = ["/health", "/ready", "/metrics"];

/// Wraps a request. The outermost layer, so that its numbers and its line hold for whatever answered.
pub(crate) async fn observe(State(state): State<HttpState>, mut request: Request, next: Next) -> Response {
    let started = Instant::now();
    let id = request_id(request.headers());
    let method = method_label(request.method());
    let matched = request.extensions().get::<MatchedPath>().cloned();
    let route = matched.as_ref().map_or(UNMATCHED, MatchedPath::as_str);
    let request_bytes = content_length(request.headers());
    // Handlers downstream that read the header see the id the log uses.
    request.headers_mut().insert(REQUEST_ID, id.clone());

    let span = tracing::info_span!(
        "request",
        request_id = id.to_str().unwrap_or_default(),
        team_id = Empty,
        runner_id = Empty,
        run_id = Empty,
        attempt_id = Empty,
    );
    let mut response = next.run(request).instrument(span.clone()).await;

    let elapsed = started.elapsed();
    let status = response.status();
    let response_bytes =
        content_length(response.headers()).or_else(|| response.body().size_hint().exact()).unwrap_or(0);
    state.metrics().observe(&Exchange {
        method,
        path: route,
        status: status.as_u16(),
        elapsed,
        request_bytes: request_bytes.unwrap_or(0),
        response_bytes,
    });
    span.in_scope(|| {
        // Microseconds are fine enough, and keep the line short.
        let ms = (elapsed.as_secs_f64() * 1e6).round() / 1e3;
        let code = response.extensions().get::<AnsweredCode>().map(|AnsweredCode(code)| code.as_str());
        macro_rules! line {
            ($level:ident) => {
                tracing::$level!(method, path = route, status = status.as_u16(), ms, code, "answered")
            };
        }
        if status.is_server_error() {
            line!(warn);
        } else if PROBES.contains(&route)
            || (status.is_success() && response.extensions().get::<RunnerProtocol>().is_some())
        {
            line!(debug);
        } else {
            line!(info);
        }
    });
    response.headers_mut().insert(REQUEST_ID, id);
    response
}

/// The method as a metric label; unknown ones share a label, as strangers may invent any number of them.
fn method_label(method: &http::Method) -> &'static str {
    match method.as_str() {
        "GET" => "GET",
        "POST" => "POST",
        "PUT" => "PUT",
        "PATCH" => "PATCH",
        "DELETE" => "DELETE",
        "HEAD" => "HEAD",
        "OPTIONS" => "OPTIONS",
        _ => "OTHER",
    }
}

/// The caller's id when it is short and plain enough to be put into a log line, else a new one.
fn request_id(headers: &HeaderMap) -> HeaderValue {
    headers.get(REQUEST_ID).filter(|value| is_sane(value.as_bytes())).cloned().unwrap_or_else(fresh)
}

fn is_sane(id: &[u8]) -> bool {
    (1..=MAX_ID_LENGTH).contains(&id.len())
        && id.iter().all(|byte| byte.is_ascii_alphanumeric() || b"-_.:/+=".contains(byte))
}

fn fresh() -> HeaderValue {
    let mut buffer = Uuid::encode_buffer();
    let id = Uuid::new_v4().hyphenated().encode_lower(&mut buffer);
    HeaderValue::from_str(id).unwrap_or_else(|_| HeaderValue::from_static("none"))
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    #[rstest]
    #[case("a", true)]
    #[case("01J8Z-f_00.d:1/2+3=", true)]
    #[case("", false)]
    #[case("a b", false)]
    #[case("\"quoted\"", false)]
    #[case(&"x".repeat(129), false)]
    fn only_short_and_plain_ids_are_taken_over(#[case] id: &str, #[case] taken: bool) {
        let mut headers = HeaderMap::new();
        headers.insert(REQUEST_ID, HeaderValue::from_str(id).unwrap());
        assert_eq!(request_id(&headers) == id, taken);
    }
}
