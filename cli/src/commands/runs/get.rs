//! `minitower runs get`

use clap::Args;

use crate::context::Context;
use crate::failure::{Exit, Failure};
use crate::watch::no_such_run;

/// Flags of `runs get`.
#[derive(Debug, Args)]
pub struct Get {
    /// The run's id
    #[arg(value_name = "RUN", value_parser = super::run_id)]
    run_id: i64,
}

impl Get {
    pub(super) async fn run(self, context: &Context) -> Result<Exit, Failure> {
        let run = context.team()?.run(self.run_id).await.map_err(no_such_run)?;
        super::show(&context.out, &run)
    }
}
