//! `minitower runners drain`

use clap::Args;

use crate::context::Context;
use crate::failure::{Exit, Failure};

/// Flags of `runners drain`.
#[derive(Debug, Args)]
pub struct Drain {
    /// The runner's name
    name: String,
    /// Who holds the fence; default: you
    #[arg(long)]
    owner: Option<String>,
}

impl Drain {
    pub(super) async fn run(self, context: &Context) -> Result<Exit, Failure> {
        let team = context.team()?;
        let drained =
            team.drain_runner(&self.name, self.owner.as_deref()).await.map_err(super::no_such_runner)?;
        super::show(&context.out, &drained)
    }
}
