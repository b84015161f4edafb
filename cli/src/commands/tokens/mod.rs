//! `minitower tokens`: one file per subcommand.

mod create;

use clap::Subcommand;

use crate::context::Context;
use crate::failure::{Exit, Failure};

/// The subcommands.
#[derive(Debug, Subcommand)]
pub enum Tokens {
    /// Create a team token; it is shown once
    Create(create::Create),
}

impl Tokens {
    /// Carries the subcommand out.
    pub async fn run(self, context: &Context) -> Result<Exit, Failure> {
        match self {
            Self::Create(command) => command.run(context).await,
        }
    }
}
