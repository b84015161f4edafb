//! `minitower runs list`, `get` and `attempts`.

use clap::Args;
use minitower_client::RunFilter;
use minitower_client::wire::Timestamp;
use minitower_client::wire::runs::{After, Attempt, AttemptStatus, Run, RunStatus};

use crate::context::Context;
use crate::failure::{Exit, Failure};
use crate::output::{Cell, Output, OutputError, bytes, duration, now, time};
use crate::watch::{no_such_run, run_id};

/// Flags of `runs list`.
#[derive(Debug, Args)]
pub struct List {
    /// Only runs of this app
    #[arg(long)]
    app: Option<String>,
    /// Only runs with this status: queued, leased, running, cancelling, completed, failed, cancelled or dead
    #[arg(long)]
    status: Option<String>,
    /// Only runs in this environment
    #[arg(long, value_name = "NAME")]
    environment: Option<String>,
    /// Only runs with this label; with several, runs that have all of them
    #[arg(long, value_name = "KEY=VALUE")]
    label: Vec<String>,
    /// How many runs to list, 1 to 100
    #[arg(long, value_name = "NUMBER", default_value_t = 20, value_parser = clap::value_parser!(u32).range(1..=100))]
    limit: u32,
    /// Only runs older than this one
    #[arg(long, value_name = "RUN", value_parser = run_id)]
    before: Option<i64>,
}

/// Most bytes of an input or an output that a person is shown.
const MOST_SHOWN: usize = 4096;

/// Flags of `runs get`.
#[derive(Debug, Args)]
pub struct Get {
    /// The run's id
    #[arg(value_name = "RUN", value_parser = run_id)]
    run_id: i64,
}

/// Flags of `runs attempts`.
#[derive(Debug, Args)]
pub struct Attempts {
    /// The run's id
    #[arg(value_name = "RUN", value_parser = run_id)]
    run_id: i64,
}

impl List {
    pub(super) async fn run(self, context: &Context) -> Result<Exit, Failure> {
        let filter = RunFilter {
            limit: Some(self.limit),
            offset: None,
            before: self.before,
            status: self.status,
            app: self.app,
            environment: self.environment,
            labels: self.label,
        };
        let answer = context.team()?.runs(&filter).await?;
        context.out.answer(&answer, |out| {
            let header = ["RUN", "APP", "NO", "STATUS", "VER", "ENV", "QUEUED", "TOOK", "RUNNER"];
            let order = ["VER", "ENV", "NO", "TOOK", "RUNNER", "QUEUED"];
            let now = out.is_terminal().then(now);
            let rows: Vec<_> = answer.runs.iter().map(|run| run_row(run, now)).collect();
            out.table_without(
                &header,
                &order,
                &rows,
                "There are no such runs; `minitower run APP` creates one.",
            )
        })?;
        Ok(Exit::Success)
    }
}

impl Get {
    pub(super) async fn run(self, context: &Context) -> Result<Exit, Failure> {
        let run = context.team()?.run(self.run_id).await.map_err(no_such_run)?;
        show(&context.out, &run)?;
        Ok(Exit::Success)
    }
}

impl Attempts {
    pub(super) async fn run(self, context: &Context) -> Result<Exit, Failure> {
        let answer = context.team()?.attempts(self.run_id).await.map_err(no_such_run)?;
        context.out.answer(&answer, |out| {
            let header = ["ATTEMPT", "STATUS", "RUNNER", "LEASED", "TOOK", "EXIT", "ERROR"];
            let rows: Vec<_> = answer.attempts.iter().map(attempt_row).collect();
            let empty = format!("Run {} has no attempts yet; it is waiting for a runner.", self.run_id);
            out.table(&header, &rows, &empty)
        })?;
        Ok(Exit::Success)
    }
}

/// Prints one run in full.
pub(super) fn show(out: &Output, run: &Run) -> Result<(), OutputError> {
    out.answer(run, |out| details(out, run))
}

/// The runs that one comes after, with what they have to have come to.
fn comes_after(after: &[After]) -> Cell {
    let each = after.iter().map(|after| format!("{} ({})", after.run_id, after.on.as_str()));
    Cell::new(each.collect::<Vec<_>>().join(", "))
}

fn labels(run: &Run) -> Cell {
    let each = run.labels.iter().map(|(key, value)| format!("{key}={value}"));
    Cell::new(each.collect::<Vec<_>>().join(" "))
}

/// The status, and why a queued run waits, as far as that is known without asking for each run.
fn state(run: &Run) -> String {
    match &run.blocked_by {
        Some(reason) if run.status == RunStatus::Queued => format!("queued ({reason})"),
        _ => run.status.as_str().to_owned(),
    }
}

fn details(out: &Output, run: &Run) -> Result<(), OutputError> {
    let took = run.started_at.zip(run.finished_at).map(|(from, to)| Cell::new(duration(from, to)));
    let input =
        run.input.as_ref().map(|input| shortened(serde_json::Value::Object(input.clone()).to_string()));
    let cancelling = run.cancel_requested && !run.status.is_terminal();
    out.details(&[
        ("run", Some(Cell::new(format_args!("{} ({} #{})", run.run_id, run.app_slug, run.run_no)))),
        ("status", Some(Cell::toned(state(run), run.status.into()))),
        ("cancel", cancelling.then(|| Cell::new("requested"))),
        ("retry of", run.retry_of.map(Cell::new)),
        ("after", (!run.after.is_empty()).then(|| comes_after(&run.after))),
        ("labels", (!run.labels.is_empty()).then(|| labels(run))),
        ("version", Some(Cell::new(run.version_no))),
        ("environment", run.environment.as_ref().map(Cell::new)),
        ("runner", run.runner.as_ref().map(Cell::new)),
        ("input", input),
        ("output", run.output.as_ref().map(|output| shortened(output.to_string()))),
        ("priority", (run.priority != 0).then(|| Cell::new(run.priority))),
        (
            "retries",
            (run.max_retries > 0)
                .then(|| Cell::new(format_args!("{} of {}", run.retry_count, run.max_retries))),
        ),
        ("queued", Some(Cell::new(time(run.queued_at)))),
        ("started", run.started_at.map(|at| Cell::new(time(at)))),
        ("finished", run.finished_at.map(|at| Cell::new(time(at)))),
        ("took", took),
        ("exit code", run.exit_code.map(Cell::new)),
        ("error", run.error_message.as_ref().map(Cell::new)),
    ])
}

/// The beginning of a JSON text that a person would not read to its end.
fn shortened(text: String) -> Cell {
    if text.len() <= MOST_SHOWN {
        return Cell::new(text);
    }
    let begin = &text[..text.floor_char_boundary(MOST_SHOWN)];
    Cell::new(format_args!("{begin}… ({}; --json shows all of it)", bytes(text.len() as u64)))
}

/// With `now`, for the narrow table of a terminal, `QUEUED` is shown as an age.
fn run_row(run: &Run, now: Option<Timestamp>) -> Vec<Cell> {
    let queued =
        now.map_or_else(|| time(run.queued_at), |now| format!("{} ago", duration(run.queued_at, now)));
    vec![
        Cell::new(run.run_id),
        Cell::new(&run.app_slug),
        Cell::new(run.run_no),
        Cell::toned(state(run), run.status.into()),
        Cell::new(run.version_no),
        Cell::optional(run.environment.as_ref()),
        Cell::new(queued),
        Cell::optional(run.started_at.zip(run.finished_at).map(|(from, to)| duration(from, to))),
        Cell::optional(run.runner.as_ref()),
    ]
}

fn attempt_row(attempt: &Attempt) -> Vec<Cell> {
    vec![
        Cell::new(attempt.attempt_no),
        Cell::toned(status(attempt.status), attempt.status.into()),
        Cell::optional(attempt.runner.as_ref()),
        Cell::new(time(attempt.leased_at)),
        Cell::optional(attempt.started_at.zip(attempt.finished_at).map(|(from, to)| duration(from, to))),
        Cell::optional(attempt.exit_code),
        Cell::optional(attempt.error_message.as_ref()),
    ]
}

const fn status(status: AttemptStatus) -> &'static str {
    match status {
        AttemptStatus::Leased => "leased",
        AttemptStatus::Running => "running",
        AttemptStatus::Cancelling => "cancelling",
        AttemptStatus::Completed => "completed",
        AttemptStatus::Failed => "failed",
        AttemptStatus::Cancelled => "cancelled",
        AttemptStatus::Expired => "expired",
        AttemptStatus::Released => "released",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_person_sees_ages_and_a_program_sees_times() {
        let run: Run = serde_json::from_str(
            r#"{"run_id":7,"app_id":1,"app_slug":"hello","run_no":1,"version_no":1,"priority":0,"max_retries":0,
            "retry_count":0,"status":"queued","cancel_requested":false,"queued_at":"2026-01-02T03:04:00Z"}"#,
        )
        .unwrap();
        let shown = |now: Option<&str>| format!("{:?}", run_row(&run, now.map(|now| now.parse().unwrap())));
        assert!(shown(Some("2026-01-02T03:07:05Z")).contains("3m05s ago"));
        assert!(shown(None).contains(&time(run.queued_at)));
    }
}
