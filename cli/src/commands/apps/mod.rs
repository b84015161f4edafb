//! `minitower apps`: one file per subcommand.

mod create;
mod get;
mod list;

use clap::Subcommand;
use minitower_client::wire::apps::App;

use crate::context::Context;
use crate::failure::{Exit, Failure};
use crate::output::{Cell, Output, time};

/// The subcommands.
#[derive(Debug, Subcommand)]
pub enum Apps {
    /// List the team's apps
    List,
    /// Show one app
    Get(get::Get),
    /// Create an app
    Create(create::Create),
}

impl Apps {
    /// Carries the subcommand out.
    pub async fn run(self, context: &Context) -> Result<Exit, Failure> {
        match self {
            Self::List => list::run(context).await,
            Self::Get(command) => command.run(context).await,
            Self::Create(command) => command.run(context).await,
        }
    }
}

fn show(out: &Output, app: &App) -> Result<Exit, Failure> {
    if out.is_json() {
        out.json(app)?;
        return Ok(Exit::Success);
    }
    out.details(&[
        ("app", Some(Cell::new(&app.slug))),
        ("id", Some(Cell::new(app.app_id))),
        ("description", app.description.as_ref().map(Cell::new)),
        ("disabled", app.disabled.then(|| Cell::new("yes"))),
        ("created", Some(Cell::new(time(app.created_at)))),
        ("updated", Some(Cell::new(time(app.updated_at)))),
    ])?;
    Ok(Exit::Success)
}
