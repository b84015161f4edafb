//! `minitower runs attempts`

use clap::Args;
use minitower_client::wire::runs::{Attempt, AttemptStatus};

use crate::context::Context;
use crate::failure::{Exit, Failure};
use crate::output::{Cell, duration, time};
use crate::watch::no_such_run;

/// Flags of `runs attempts`.
#[derive(Debug, Args)]
pub struct Attempts {
    /// The run's id
    #[arg(value_name = "RUN", value_parser = super::run_id)]
    run_id: i64,
}

impl Attempts {
    pub(super) async fn run(self, context: &Context) -> Result<Exit, Failure> {
        let attempts = context.team()?.attempts(self.run_id).await.map_err(no_such_run)?;
        if context.out.is_json() {
            context.out.json(&attempts)?;
            return Ok(Exit::Success);
        }
        let header = ["ATTEMPT", "STATUS", "RUNNER", "LEASED", "TOOK", "EXIT", "ERROR"];
        let empty = format!("Run {} has had no attempt yet; it waits for a runner.", self.run_id);
        context.out.table(&header, &attempts.attempts.iter().map(row).collect::<Vec<_>>(), &empty)?;
        Ok(Exit::Success)
    }
}

fn row(attempt: &Attempt) -> Vec<Cell> {
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
