//! The log of a run: pages of lines as JSON, the whole of it as text, or a stream of events that follows it.

use axum::body::Body;
use axum::extract::State;
use axum::response::{IntoResponse as _, Response};
use bytes::Bytes;
use futures_util::{StreamExt as _, stream};
use http::header::{ACCEPT, CONTENT_DISPOSITION, CONTENT_TYPE, X_CONTENT_TYPE_OPTIONS};
use http::{HeaderMap, HeaderValue};
use minitower_runs::live::FollowLog;
use minitower_runs::{LogLine, LogPage, ReadLog, WholeLog};
use minitower_teams::OpenRequest;
use minitower_teams::team::TeamPrincipal;
use minitower_vocabulary::ids::RunId;
use minitower_vocabulary::limits::LimitName;
use minitower_vocabulary::wire::runs::{Logs, Stream};
use serde::Deserialize;
use utoipa::IntoParams;

use crate::auth::Caller;
use crate::events::{last_event_id, log_place, log_stream};
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
    /// At most this many lines in the answer. Default 10,000. For JSON only.
    #[param(minimum = 1, maximum = 10000)]
    limit: Option<i64>,
}

errors! { LogsErrors {
    InvalidRequest: "`Last-Event-ID` is not the id of an event of this stream.",
    NotFound: "The team has no such run, or the run has no such attempt.",
    RateLimited: "The team streams as many logs as its limits allow.",
} }

/// Shows the log of an attempt, by default the newest.
///
/// As JSON, an answer holds at most 4 MiB of lines. While there are more it has a `next_seq`: ask for the next page with
/// that as `after_seq`. With `Accept: text/plain` the answer is the whole log as text, one line after the other.
///
/// With `Accept: text/event-stream` the answer follows the log until the run ends. The data of an event without a name is a
/// line, as JSON shows it, and its id is the line's `seq`. `attempt` says that the run goes on with another attempt; the ids of its
/// lines have its number before them, as in `2-17`. `end` has the run's status, and is the last event. Lines come by `seq`: one that
/// the runner sends late is not sent. `Last-Event-ID` goes on behind that event, whatever `after_seq` and `tail` say. With `attempt`
/// the stream ends with that attempt.
#[utoipa::path(get, path = "/api/v1/runs/{run}/logs", operation_id = "list_logs", tag = "Runs",
    params(RunPath, LogsQuery, ("last-event-id" = Option<String>, Header, description = "Of a stream: the id of the last event that was seen.")),
    responses(
        (status = 200, description = "Lines of the log, by `seq`.",
            content((Logs = "application/json"), (String = "text/plain"), (String = "text/event-stream")),
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
    match wanted(&headers) {
        Form::Json => {
            let LogPage { lines, next_seq } = state.runs().run_logs(&caller, path.id(), read, limit).await?;
            let logs = lines.into_iter().map(render::log_line).collect();
            Ok(Json(Logs { logs, next_seq }).into_response())
        }
        Form::Text if limit.is_some() => {
            Err(ApiError::invalid_request("limit is not for text, which is the whole log; use tail"))
        }
        Form::Events if limit.is_some() => Err(ApiError::invalid_request(
            "limit is not for a stream of events, which has no pages; use tail",
        )),
        Form::Text => {
            let open = state.teams().open_request(caller.team_id, LimitName::Streams)?;
            let log = state.runs().open_log(&caller, path.id(), read).await?;
            Ok(text(path.id(), open, log, Lasting::of(&state, &headers)))
        }
        Form::Events => {
            let after = last_event_id(&headers)?.map(log_place).transpose()?;
            if let (Some(only), Some(after)) = (attempt, after)
                && only != after.attempt
            {
                return Err(ApiError::invalid_request(format!(
                    "Last-Event-ID: it is of attempt {}, and only attempt {only} is asked for",
                    after.attempt
                )));
            }
            let open = state.teams().open_request(caller.team_id, LimitName::Streams)?;
            let log = state.runs().follow_log(&caller, path.id(), FollowLog { read, after }).await?;
            Ok(log_stream(path.id(), log, Lasting::of(&state, &headers), open))
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
    Events,
}

/// The form that `Accept` prefers (RFC 9110, section 12.5.1). Whoever names none gets JSON.
fn wanted(headers: &HeaderMap) -> Form {
    let values = headers.get_all(ACCEPT).iter().filter_map(|value| value.to_str().ok());
    let (mut json, mut any, mut text, mut events) = (0.0, 0.0, 0.0, 0.0);
    for range in values.flat_map(|value| value.split(',')) {
        let mut parts = range.split(';').map(str::trim);
        let media = parts.next().unwrap_or_default().to_ascii_lowercase();
        let weight = parts.find_map(|part| part.strip_prefix("q=")).map_or(1.0, |q| q.parse().unwrap_or(0.0));
        let of_form = match media.as_str() {
            "application/json" | "application/*" => &mut json,
            "*/*" => &mut any,
            "text/plain" | "text/*" => &mut text,
            "text/event-stream" => &mut events,
            _ => continue,
        };
        *of_form = f64::max(*of_form, weight);
    }
    // A stream is named by those alone who can read one.
    if events > 0.0 && events > json && events > text && events >= any {
        Form::Events
    } else if text > json.max(any) {
        Form::Text
    } else {
        Form::Json
    }
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    #[rstest]
    #[case(&[], Form::Json)]
    #[case(&["*/*"], Form::Json)]
    #[case(&["application/json"], Form::Json)]
    #[case(&["text/plain"], Form::Text)]
    #[case(&["Text/Plain; charset=utf-8"], Form::Text)]
    #[case(&["text/html,application/xhtml+xml,*/*;q=0.8"], Form::Json)]
    #[case(&["text/plain, */*;q=0.5"], Form::Text)]
    #[case(&["text/plain;q=0.5, application/json"], Form::Json)]
    #[case(&["application/json;q=0.1", "text/plain;q=0.9"], Form::Text)]
    #[case(&["text/plain;q=0"], Form::Json)]
    #[case(&["image/png"], Form::Json)]
    #[case(&["text/event-stream"], Form::Events)]
    #[case(&["text/event-stream, */*"], Form::Events)]
    #[case(&["text/event-stream, application/json;q=0.5"], Form::Events)]
    #[case(&["text/event-stream, application/json"], Form::Json)]
    #[case(&["text/event-stream;q=0, application/json;q=0.5"], Form::Json)]
    #[case(&["text/event-stream;q=0.5, text/plain"], Form::Text)]
    fn the_form_is_the_one_that_the_caller_prefers(#[case] values: &[&'static str], #[case] form: Form) {
        let mut headers = HeaderMap::new();
        for value in values {
            headers.append(ACCEPT, HeaderValue::from_static(value));
        }
        assert_eq!(wanted(&headers), form);
    }
}
