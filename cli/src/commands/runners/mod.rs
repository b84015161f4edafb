//! `minitower runners`: one file per subcommand.

mod drain;
mod list;
mod undrain;

use clap::Subcommand;
use minitower_client::wire::admin::Drained;

use crate::context::Context;
use crate::failure::{Exit, Failure};
use crate::output::{Cell, Output};

/// The subcommands.
#[derive(Debug, Subcommand)]
pub enum Runners {
    /// List runners, those of one pool together
    List(list::List),
    /// Keep new work from a runner; its current run goes on
    Drain(drain::Drain),
    /// Let work reach a drained runner again
    Undrain(undrain::Undrain),
}

impl Runners {
    /// Carries the subcommand out.
    pub async fn run(self, context: &Context) -> Result<Exit, Failure> {
        match self {
            Self::List(command) => command.run(context).await,
            Self::Drain(command) => command.run(context).await,
            Self::Undrain(command) => command.run(context).await,
        }
    }
}

fn show(out: &Output, drained: &Drained) -> Result<Exit, Failure> {
    if out.is_json() {
        out.json(drained)?;
        return Ok(Exit::Success);
    }
    let yes_no = |yes| Cell::new(if yes { "yes" } else { "no" });
    out.details(&[
        ("runner", Some(Cell::new(&drained.name))),
        ("draining", Some(yes_no(drained.draining))),
        ("busy", Some(yes_no(drained.busy))),
        ("run", drained.run_id.map(Cell::new)),
    ])?;
    Ok(Exit::Success)
}

fn no_such_runner(error: minitower_client::Error) -> Failure {
    Failure::from(error).help_not_found(
        "`minitower runners list` shows the runners; a team changes only those registered with its own token",
    )
}
