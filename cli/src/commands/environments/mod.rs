//! `minitower environments`: one file per subcommand.

mod create;
mod list;

use clap::Subcommand;

use crate::context::Context;
use crate::failure::{Exit, Failure};

/// The subcommands.
#[derive(Debug, Subcommand)]
pub enum Environments {
    /// List the team's environments
    List,
    /// Create an environment
    Create(create::Create),
}

impl Environments {
    /// Carries the subcommand out.
    pub async fn run(self, context: &Context) -> Result<Exit, Failure> {
        match self {
            Self::List => list::run(context).await,
            Self::Create(command) => command.run(context).await,
        }
    }
}
