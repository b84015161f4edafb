//! `minitower runs`

mod artifacts;
mod create;
mod logs;
mod show;
mod watch;

use clap::{Args, Subcommand};
use minitower_client::wire::runs::RunStatus;

use crate::context::Context;
use crate::failure::{Exit, Failure};
use crate::watch::{no_such_run, run_id};

/// The subcommands.
#[derive(Debug, Subcommand)]
pub enum Runs {
    /// Create a run
    Create(create::Create),
    /// List runs, newest first
    List(show::List),
    /// Show one run
    Get(show::Get),
    /// Cancel a run
    Cancel(Cancel),
    /// Print a run's log
    Logs(logs::Logs),
    /// Watch a run's status until it ends
    Watch(watch::Watch),
    /// List a run's attempts
    Attempts(show::Attempts),
    /// List and download the files that a run produced
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

/// Flags of `runs cancel`.
#[derive(Debug, Args)]
pub struct Cancel {
    /// The run's id
    #[arg(value_name = "RUN", value_parser = run_id)]
    run_id: i64,
}

impl Cancel {
    async fn run(self, context: &Context) -> Result<Exit, Failure> {
        let run = context.team()?.cancel_run(self.run_id).await.map_err(no_such_run)?;
        let id = run.run_id;
        context.out.answer(&run, |out| {
            out.line(match run.status {
                RunStatus::Cancelled => format!("Run {id} is cancelled."),
                RunStatus::Cancelling => {
                    format!("Run {id} is being cancelled: its runner stops the job at its next heartbeat.")
                }
                ended => format!("Run {id} has already ended: {}.", ended.as_str()),
            })
        })?;
        Ok(Exit::Success)
    }
}
