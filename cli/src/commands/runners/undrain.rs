//! `minitower runners undrain`

use clap::Args;

use crate::context::Context;
use crate::failure::{Exit, Failure};

/// Flags of `runners undrain`.
#[derive(Debug, Args)]
pub struct Undrain {
    /// The runner's name
    name: String,
    /// Who holds the fence; default: you
    #[arg(long)]
    owner: Option<String>,
}

impl Undrain {
    pub(super) async fn run(self, context: &Context) -> Result<Exit, Failure> {
        let team = context.team()?;
        let drained =
            team.undrain_runner(&self.name, self.owner.as_deref()).await.map_err(super::no_such_runner)?;
        super::show(&context.out, &drained)
    }
}
