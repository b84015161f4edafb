//! `minitower versions`: one file per subcommand.

mod get;
mod list;
mod upload;

use clap::Subcommand;

use crate::context::Context;
use crate::failure::{Exit, Failure};

pub(super) use self::upload::upload_with_progress;

/// The subcommands.
#[derive(Debug, Subcommand)]
pub enum Versions {
    /// List an app's versions, newest first
    List(list::List),
    /// Show one version
    Get(get::Get),
    /// Upload an archive as a new version
    Upload(upload::Upload),
}

impl Versions {
    /// Carries the subcommand out.
    pub async fn run(self, context: &Context) -> Result<Exit, Failure> {
        match self {
            Self::List(command) => command.run(context).await,
            Self::Get(command) => command.run(context).await,
            Self::Upload(command) => command.run(context).await,
        }
    }
}
