//! `minitower environments`

use clap::{Args, Subcommand};

use crate::context::Context;
use crate::failure::{Exit, Failure};
use crate::output::{Cell, time};

/// The subcommands.
#[derive(Debug, Subcommand)]
pub enum Environments {
    /// List the team's environments
    List,
    /// Create an environment
    Create(Create),
}

/// Flags of `environments create`.
#[derive(Debug, Args)]
pub struct Create {
    /// The environment's name, for example staging
    name: String,
}

impl Environments {
    /// Carries the subcommand out.
    pub async fn run(self, context: &Context) -> Result<Exit, Failure> {
        match self {
            Self::List => list(context).await,
            Self::Create(command) => command.run(context).await,
        }
    }
}

async fn list(context: &Context) -> Result<Exit, Failure> {
    let answer = context.team()?.environments().await?;
    context.out.answer(&answer, |out| {
        let rows = answer
            .environments
            .iter()
            .map(|environment| vec![Cell::new(&environment.name), Cell::new(time(environment.created_at))]);
        let empty = "There are no environments yet; the first run creates `default`.";
        out.table(&["ENVIRONMENT", "CREATED"], &rows.collect::<Vec<_>>(), empty)
    })?;
    Ok(Exit::Success)
}

impl Create {
    async fn run(self, context: &Context) -> Result<Exit, Failure> {
        let environment = context.team()?.create_environment(&self.name).await?;
        context.out.answer(&environment, |out| {
            out.details(&[
                ("environment", Some(Cell::new(&environment.name))),
                ("created", Some(Cell::new(time(environment.created_at)))),
            ])
        })?;
        Ok(Exit::Success)
    }
}
