//! `minitower runs explain`

use clap::Args;
use minitower_client::wire::runs::{RunExplained, WaitsFor};

use super::newest;
use crate::context::Context;
use crate::failure::{Exit, Failure};
use crate::output::{Cell, clean, time};
use crate::watch::{no_such_run, run_id};

/// Flags of `runs explain`.
#[derive(Debug, Args)]
pub struct Explain {
    /// The run's id; by default the newest run
    #[arg(value_name = "RUN", value_parser = run_id)]
    run_id: Option<i64>,
    /// Explain the newest run of this app
    #[arg(long, conflicts_with = "run_id")]
    app: Option<String>,
}

impl Explain {
    pub(super) async fn run(self, context: &Context) -> Result<Exit, Failure> {
        let team = context.team()?;
        let run_id = match self.run_id {
            Some(run_id) => run_id,
            None => newest(context, &team, self.app.as_deref()).await?.run_id,
        };
        let said = team.explain_run(run_id).await.map_err(no_such_run)?;
        context.out.answer(&said, |out| {
            out.details(&[
                ("run", Some(Cell::new(said.run_id))),
                ("status", Some(Cell::new(said.status.as_str()))),
                ("reason", Some(Cell::new(&said.reason))),
                ("position", said.position.map(Cell::new)),
                ("until", said.until.map(|until| Cell::new(time(until)))),
                ("waits for", waits_for(&said).map(Cell::new)),
                ("why", Some(Cell::new(clean(&said.message)))),
            ])
        })?;
        Ok(Exit::Success)
    }
}

fn waits_for(said: &RunExplained) -> Option<String> {
    let one = |WaitsFor { run_id, on, status }: &WaitsFor| {
        let on = on.as_str();
        let status = status.map_or("deleted", |status| status.as_str());
        format!("run {run_id} {on} (now {status})")
    };
    let all: Vec<_> = said.waits_for.iter().map(one).collect();
    (!all.is_empty()).then(|| all.join(", "))
}
