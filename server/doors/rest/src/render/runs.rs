//! Runs, their logs and artifacts.

use minitower_runs::LogLine as StoredLine;
use minitower_runs::domain::artifact::{Artifact, content_type};
use minitower_runs::domain::run as domain;
use minitower_vocabulary::wire::runs as wire;
use minitower_vocabulary::wire::runs::{HIDDEN_VALUE, LogLine, Run, Stream};

use serde::de::DeserializeOwned;
use serde_json::{Map, Value};

use super::moment;
use crate::ApiError;

pub(crate) fn run(run: domain::Run) -> Result<Run, ApiError> {
    let input = shown_input(run.input.as_deref(), run.hidden_parameters.as_deref())?;
    let status = run.status();
    let domain::RunProgress { retries, policy: _, queued_at, state } = run.progress;
    let (cancel_requested, started_at) = (state.is_cancel_requested(), state.first_started_at());
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
        priority: run.priority,
        max_retries: retries.max,
        retry_count: retries.used,
        cancel_requested,
        queued_at: moment(queued_at),
        started_at: started_at.map(moment),
        finished_at: finished_at.map(moment),
        environment: Some(run.environment),
        exit_code,
        error_message,
        runner: run.runner,
        output: json(run.output.as_deref())?,
        labels: json(run.labels.as_deref())?.unwrap_or_default(),
        retry_of: run.retry_of.map(|run| run.0),
    })
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
pub(super) fn input(text: Option<&str>) -> Result<Option<Map<String, Value>>, ApiError> {
    json(text)
}

/// A run's input without the values of its hidden parameters.
fn shown_input(text: Option<&str>, hidden: Option<&str>) -> Result<Option<Map<String, Value>>, ApiError> {
    let Some(mut input) = input(text)? else { return Ok(None) };
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
