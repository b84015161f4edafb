//! `minitower runs cancel`

use clap::Args;
use minitower_client::wire::runs::RunStatus;

use super::many::Which;
use crate::context::Context;
use crate::failure::{Exit, Failure};
use crate::watch::{no_such_run, run_id};

/// Flags of `runs cancel`.
#[derive(Debug, Args)]
#[command(
    after_help = "`minitower runs cancel --status queued --environment staging` cancels everything that waits in staging."
)]
pub struct Cancel {
    /// The run's id
    #[arg(
        value_name = "RUN",
        value_parser = run_id,
        conflicts_with_all = ["app", "status", "label", "environment", "yes"]
    )]
    run_id: Option<i64>,
    /// All runs in this environment
    #[arg(long, value_name = "NAME", help_heading = "Many runs")]
    environment: Option<String>,
    #[command(flatten)]
    which: Which,
}

impl Cancel {
    pub(super) async fn run(self, context: &Context) -> Result<Exit, Failure> {
        let Some(id) = self.run_id else { return self.which.cancel(context, self.environment).await };
        let run = context.team()?.cancel_run(id).await.map_err(no_such_run)?;
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
