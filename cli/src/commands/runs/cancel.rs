//! `minitower runs cancel`

use clap::Args;
use minitower_client::wire::runs::RunStatus;

use crate::context::Context;
use crate::failure::{Exit, Failure};
use crate::watch::no_such_run;

/// Flags of `runs cancel`.
#[derive(Debug, Args)]
pub struct Cancel {
    /// The run's id
    #[arg(value_name = "RUN", value_parser = super::run_id)]
    run_id: i64,
}

impl Cancel {
    pub(super) async fn run(self, context: &Context) -> Result<Exit, Failure> {
        let run = context.team()?.cancel_run(self.run_id).await.map_err(no_such_run)?;
        if context.out.is_json() {
            context.out.json(&run)?;
            return Ok(Exit::Success);
        }
        let id = run.run_id;
        context.out.line(match run.status {
            RunStatus::Cancelled => format!("Run {id} is cancelled."),
            RunStatus::Cancelling => {
                format!("Run {id} is being cancelled: its runner stops the job at its next heartbeat.")
            }
            ended => format!("Run {id} had ended before: {}.", ended.as_str()),
        })?;
        Ok(Exit::Success)
    }
}
