//! Runs, their logs and artifacts.

use std::collections::BTreeMap;

use minitower_runs::LogLine as StoredLine;
use minitower_runs::domain::artifact::{Artifact, content_type};
use minitower_runs::domain::input::{self, Input};
use minitower_runs::domain::run as domain;
use minitower_vocabulary::wire::runs as wire;
use minitower_vocabulary::wire::runs::{HIDDEN_VALUE, LogLine, Run, Stream};

use serde::de::DeserializeOwned;
use serde_json::{Map, Value};

use super::moment;
use crate::ApiError;

pub(crate) fn run(run: domain::Run) -> Result<Run, ApiError> {
    let (text, input_bytes) = match &run.input {
        None => (None, None),
        Some(Input::Text(text)) => (Some(text.as_str()), None),
        Some(Input::Apart { bytes }) => (None, Some(i64::from(*bytes))),
    };
    let input = shown_input(text, run.hidden_parameters.as_deref())?;
    let status = run.status();
    let domain::RunProgress { retries, policy: _, queued_at, state } = run.progress;
    let (cancel_requested, started_at) = (state.is_cancel_requested(), state.first_started_at());
    let blocked_by = state.blocked_by().map(|reason| reason.as_str().to_owned());
    let end = end_of(state);
    let finished_at = end.as_ref().map(|end| end.finished_at);
    let (exit_code, error_message) = end.map(|end| (end.exit_code, end.error_message)).unwrap_or_default();
    Ok(Run {
        run_id: run.id.0,
        app_id: run.app_id.0,
        app_slug: run.app_slug,
        run_no: run.number,
        version_no: run.version_number,
        status,
        input,
        input_bytes,
        priority: run.priority,
        max_retries: retries.max,
        retry_count: retries.used,
        cancel_requested,
        blocked_by,
        concurrency_key: run.concurrency.map(|shared| shared.key),
        queued_at: moment(queued_at),
        started_at: started_at.map(moment),
        finished_at: finished_at.map(moment),
        environment: Some(run.environment),
        exit_code,
        error_message,
        runner: run.runner,
        output: json(run.output.as_deref())?,
        output_bytes: None,
        labels: json(run.labels.as_deref())?.unwrap_or_default(),
        retry_of: run.retry_of.map(|run| run.0),
        after: json(run.after.as_deref())?.unwrap_or_default(),
    })
}

/// A run as a list shows it: without a large input and a large output, since a page holds a hundred runs.
pub(crate) fn listed(mut run: domain::Run) -> Result<Run, ApiError> {
    let output = run.output.take_if(|output| input::is_large(output));
    // Older runs have it in their rows.
    if let Some(bytes) =
        run.input.as_ref().and_then(Input::text).filter(|text| input::is_large(text)).map(str::len)
    {
        run.input = Some(Input::Apart { bytes: u32::try_from(bytes).unwrap_or(u32::MAX) });
    }
    let output_bytes = output.map(|output| i64::try_from(output.len()).unwrap_or(i64::MAX));
    Ok(Run { output_bytes, ..self::run(run)? })
}

/// The end of a run that has ended.
fn end_of(state: domain::RunState) -> Option<domain::RunEnd> {
    match state {
        domain::RunState::Completed(end)
        | domain::RunState::Failed(end)
        | domain::RunState::Cancelled { end, .. }
        | domain::RunState::Dead(end) => Some(end),
        domain::RunState::Queued { .. }
        | domain::RunState::Leased { .. }
        | domain::RunState::Running { .. }
        | domain::RunState::Cancelling { .. } => None,
    }
}

/// A run's input, kept as JSON text.
pub(super) fn input_object(text: Option<&str>) -> Result<Option<Map<String, Value>>, ApiError> {
    json(text)
}

/// A run's input without the values of its hidden parameters.
fn shown_input(text: Option<&str>, hidden: Option<&str>) -> Result<Option<Map<String, Value>>, ApiError> {
    let Some(mut input) = input_object(text)? else { return Ok(None) };
    for name in json::<Vec<String>>(hidden)?.unwrap_or_default() {
        if let Some(value) = input.get_mut(&name) {
            *value = HIDDEN_VALUE.into();
        }
    }
    Ok(Some(input))
}

/// What is kept as JSON text.
fn json<T: DeserializeOwned>(text: Option<&str>) -> Result<Option<T>, ApiError> {
    text.map(serde_json::from_str).transpose().map_err(|error| ApiError::internal(&error))
}

/// A run's labels, kept as JSON text. The schema of the database says that they are strings.
pub(crate) fn labels(text: Option<&str>) -> BTreeMap<String, String> {
    json(text).ok().flatten().unwrap_or_default()
}

pub(crate) fn artifact(artifact: Artifact) -> wire::Artifact {
    wire::Artifact {
        content_type: content_type(&artifact.path).to_owned(),
        path: artifact.path.as_str().to_owned(),
        bytes: artifact.bytes,
        sha256: artifact.sha256,
        created_at: moment(artifact.created_at),
    }
}

pub(crate) fn log_line(line: StoredLine) -> LogLine {
    let StoredLine { seq, stderr, line, logged_at } = line;
    let stream = if stderr { Stream::Stderr } else { Stream::Stdout };
    LogLine { seq, stream, line, logged_at: moment(logged_at) }
}
