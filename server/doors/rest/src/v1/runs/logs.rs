//! The log of a run: pages of lines as JSON, or the whole of it as text.

use axum::body::Body;
use axum::extract::State;
use axum::response::{IntoResponse as _, Response};
use bytes::Bytes;
use futures_util::{StreamExt as _, stream};
use http::header::{ACCEPT, CONTENT_DISPOSITION, CONTENT_TYPE, X_CONTENT_TYPE_OPTIONS};
use http::{HeaderMap, HeaderValue};
use minitower_runs::{LogLine, LogPage, ReadLog, WholeLog};
use minitower_teams::OpenRequest;
use minitower_teams::team::TeamPrincipal;
use minitower_vocabulary::ids::RunId;
use minitower_vocabulary::limits::LimitName;
use minitower_vocabulary::wire::runs::{Logs, Stream};
use serde::Deserialize;
use utoipa::IntoParams;

use crate::auth::Caller;
use crate::extract::{Json, Path, Query};
use crate::lasting::Lasting;
use crate::openapi::errors;
use crate::v1::params::RunPath;
use crate::{ApiError, HttpState, render};

/// The query.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub(crate) struct LogsQuery {
    /// The number of an attempt. Default: the newest.
    attempt: Option<i64>,
    /// Only lines with a larger `seq`.
    #[param(minimum = 0)]
    after_seq: Option<i64>,
    /// Only the last so many lines.
    #[param(minimum = 1, maximum = 1_000_000)]
    tail: Option<i64>,
    /// Only lines of this stream.
    stream: Option<Stream>,
    /// At most this many lines in the answer. Default 10,000. Not for text.
    #[param(minimum = 1, maximum = 10000)]
    limit: Option<i64>,
}

errors! { LogsErrors {
    InvalidRequest: "`Accept` asks for a stream of events, which is not supported yet.",
    NotFound: "The team has no such run, or the run has no such attempt.",
    RateLimited: "The team streams as many logs as its limits allow.",
} }

/// Shows the log of an attempt, by default the newest.
///
/// As JSON, an answer holds at most 4 MiB of lines. While there are more it has a `next_seq`: ask for the next page with
/// that as `after_seq`. With `Accept: text/plain` the answer is the whole log as text, one line after the other.
#[utoipa::path(get, path = "/api/v1/runs/{run}/logs", operation_id = "list_logs", tag = "Runs",
    params(RunPath, LogsQuery),
    responses(
        (status = 200, description = "Lines of the log, by `seq`.",
            content((Logs = "application/json"), (String = "text/plain")),
            headers(("content-disposition" = String, description = "Of text: a name for the file."))),
        LogsErrors,
    ))]
pub(crate) async fn logs(
    State(state): State<HttpState>,
    Caller(caller): Caller<TeamPrincipal>,
    Path(path): Path<RunPath>,
    headers: HeaderMap,
    Query(params): Query<LogsQuery>,
) -> Result<Response, ApiError> {
    let LogsQuery { attempt, after_seq, tail, stream, limit } = params;
    let read = ReadLog { attempt, after_seq, tail, stderr: stream.map(|stream| stream == Stream::Stderr) };
    match wanted(&headers)? {
        Form::Json => {
            let LogPage { lines, next_seq } = state.runs().run_logs(&caller, path.id(), read, limit).await?;
            let logs = lines.into_iter().map(render::log_line).collect();
            Ok(Json(Logs { logs, next_seq }).into_response())
        }
        Form::Text if limit.is_some() => {
            Err(ApiError::invalid_request("limit is not for text, which is the whole log; use tail"))
        }
        Form::Text => {
            let open = state.teams().open_request(caller.team_id, LimitName::Streams)?;
            let log = state.runs().open_log(&caller, path.id(), read).await?;
            Ok(text(path.id(), open, log, Lasting::of(&state, &headers)))
        }
    }
}

/// The whole log as a download, which counts as open until its end. If it cannot be read to its end, or the token is revoked meanwhile, the
/// connection is broken off: it is never taken for whole.
fn text(run: RunId, open: OpenRequest, log: WholeLog, lasting: Lasting) -> Response {
    let pieces = stream::try_unfold((log, open), async |(mut log, open)| {
        let lines = log.next_lines().await.inspect_err(|error| {
            tracing::error!(error = error as &dyn std::error::Error, "a log could not be read to its end");
        })?;
        Ok::<_, minitower_runs::Error>(lines.map(|lines| (joined(&lines), (log, open))))
    });
    let mut response = Response::new(Body::from_stream(lasting.over(pieces.boxed())));
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("text/plain; charset=utf-8"));
    headers.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    if let Ok(name) = HeaderValue::try_from(format!("attachment; filename=\"run-{run}.log\"")) {
        headers.insert(CONTENT_DISPOSITION, name);
    }
    response
}

fn joined(lines: &[LogLine]) -> Bytes {
    let mut text = String::with_capacity(lines.iter().map(|line| line.line.len() + 1).sum());
    for line in lines {
        text.push_str(&line.line);
        text.push('\n');
    }
    text.into()
}

/// A form in which a log is given.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Form {
    Json,
    Text,
}

/// The form that `Accept` prefers (RFC 9110, section 12.5.1). Whoever names neither gets JSON.
fn wanted(headers: &HeaderMap) -> Result<Form, ApiError> {
    let values = headers.get_all(ACCEPT).iter().filter_map(|value| value.to_str().ok());
    let (mut json, mut text, mut events) = (0.0, 0.0, false);
    for range in values.flat_map(|value| value.split(',')) {
        let mut parts = range.split(';').map(str::trim);
        let media = parts.next().unwrap_or_default().to_ascii_lowercase();
        let weight = parts.find_map(|part| part.strip_prefix("q=")).map_or(1.0, |q| q.parse().unwrap_or(0.0));
        match media.as_str() {
            "application/json" | "application/*" | "*/*" => json = f64::max(json, weight),
            "text/plain" | "text/*" => text = f64::max(text, weight),
            "text/event-stream" => events |= weight > 0.0,
            _ => {}
        }
    }
    match (json, text) {
        (0.0, 0.0) if events => Err(ApiError::invalid_request(
            "text/event-stream is not supported yet: ask for JSON with after_seq, or for text/plain",
        )),
        (json, text) if text > json => Ok(Form::Text),
        _ => Ok(Form::Json),
    }
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    #[rstest]
    #[case(&[], Some(Form::Json))]
    #[case(&["*/*"], Some(Form::Json))]
    #[case(&["application/json"], Some(Form::Json))]
    #[case(&["text/plain"], Some(Form::Text))]
    #[case(&["Text/Plain; charset=utf-8"], Some(Form::Text))]
    #[case(&["text/html,application/xhtml+xml,*/*;q=0.8"], Some(Form::Json))]
    #[case(&["text/plain, */*;q=0.5"], Some(Form::Text))]
    #[case(&["text/plain;q=0.5, application/json"], Some(Form::Json))]
    #[case(&["application/json;q=0.1", "text/plain;q=0.9"], Some(Form::Text))]
    #[case(&["text/plain;q=0"], Some(Form::Json))]
    #[case(&["image/png"], Some(Form::Json))]
    #[case(&["text/event-stream"], None)]
    #[case(&["text/event-stream, application/json"], Some(Form::Json))]
    fn the_form_is_the_one_that_the_caller_prefers(
        #[case] values: &[&'static str],
        #[case] form: Option<Form>,
    ) {
        let mut headers = HeaderMap::new();
        for value in values {
            headers.append(ACCEPT, HeaderValue::from_static(value));
        }
        assert_eq!(wanted(&headers).ok(), form);
    }
}
