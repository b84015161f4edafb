//! `minitower environments create`

use clap::Args;

use crate::context::Context;
use crate::failure::{Exit, Failure};
use crate::output::{Cell, time};

/// Flags of `environments create`.
#[derive(Debug, Args)]
pub struct Create {
    /// The environment's name, for example staging
    name: String,
}

impl Create {
    pub(super) async fn run(self, context: &Context) -> Result<Exit, Failure> {
        let environment = context.team()?.create_environment(&self.name).await?;
        if context.out.is_json() {
            context.out.json(&environment)?;
            return Ok(Exit::Success);
        }
        context.out.details(&[
            ("environment", Some(Cell::new(&environment.name))),
            ("created", Some(Cell::new(time(environment.created_at)))),
        ])?;
        Ok(Exit::Success)
    }
}
