//! `minitower runs`: one file per subcommand.

mod artifacts;
mod attempts;
mod cancel;
mod create;
mod get;
mod list;
mod logs;
mod retry;
mod watch;

use clap::Subcommand;
use minitower_client::wire::runs::Run;

use crate::context::Context;
use crate::failure::{Exit, Failure};
use crate::output::{Cell, Output, duration, time};

/// The subcommands.
#[derive(Debug, Subcommand)]
pub enum Runs {
    /// Create a run
    Create(create::Create),
    /// List runs, newest first
    List(list::List),
    /// Show one run
    Get(get::Get),
    /// Cancel a run
    Cancel(cancel::Cancel),
    /// Print a run's log
    Logs(logs::Logs),
    /// Show a run's state changes until it has ended
    Watch(watch::Watch),
    /// List the attempts at a run
    Attempts(attempts::Attempts),
    /// List and download the files that a run left behind
    #[command(subcommand)]
    Artifacts(artifacts::Artifacts),
}

impl Runs {
    /// Carries the subcommand out.
    pub async fn run(self, context: &Context) -> Result<Exit, Failure> {
        match self {
            Self::Create(command) => command.run(context).await,
            Self::List(command) => command.run(context).await,
            Self::Get(command) => command.run(context).await,
            Self::Cancel(command) => command.run(context).await,
            Self::Logs(command) => command.run(context).await,
            Self::Watch(command) => command.run(context).await,
            Self::Attempts(command) => command.run(context).await,
            Self::Artifacts(command) => command.run(context).await,
        }
    }
}

/// A run's id, as a flag or an argument; people try the app's name first.
fn run_id(text: &str) -> Result<i64, String> {
    text.parse().map_err(|_| match text {
        "" => "it is empty; in a script, check that the command before it made a run".to_owned(),
        _ => "a run is named by its number; `minitower runs list` shows it".to_owned(),
    })
}

fn show(out: &Output, run: &Run) -> Result<Exit, Failure> {
    if out.is_json() {
        out.json(run)?;
        return Ok(Exit::Success);
    }
    let took = run.started_at.zip(run.finished_at).map(|(from, to)| Cell::new(duration(from, to)));
    let input = run.input.as_ref().map(|input| Cell::new(serde_json::Value::Object(input.clone())));
    let cancelling = run.cancel_requested && !run.status.is_terminal();
    out.details(&[
        ("run", Some(Cell::new(format_args!("{} ({} #{})", run.run_id, run.app_slug, run.run_no)))),
        ("status", Some(Cell::toned(run.status.as_str(), run.status.into()))),
        ("cancel", cancelling.then(|| Cell::new("requested"))),
        ("version", Some(Cell::new(run.version_no))),
        ("environment", run.environment.as_ref().map(Cell::new)),
        ("runner", run.runner.as_ref().map(Cell::new)),
        ("input", input),
        ("output", run.output.as_ref().map(Cell::new)),
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
    ])?;
    Ok(Exit::Success)
}
