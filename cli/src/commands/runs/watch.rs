//! `minitower runs watch`

use clap::Args;
use minitower_client::{RunFilter, TeamClient};

use crate::context::Context;
use crate::failure::{Exit, Failure};
use crate::output::Tone;
use crate::watch::{describe, unless_interrupted, until_terminal};

/// Flags of `runs watch`.
#[derive(Debug, Args)]
#[command(after_help = "Exit code: 0 completed, 1 failed or dead, 2 cancelled. Ctrl-C leaves the run going.")]
pub struct Watch {
    /// The run's id; default: the app's newest run
    #[arg(value_name = "RUN", value_parser = super::run_id)]
    run_id: Option<i64>,
    /// The app whose newest run is meant
    #[arg(long, conflicts_with = "run_id")]
    app: Option<String>,
}

impl Watch {
    pub(super) async fn run(self, context: &Context) -> Result<Exit, Failure> {
        let team = context.team()?;
        let run_id = match self.run_id {
            Some(run_id) => run_id,
            None => newest(&team, &context.app(self.app.as_deref())?).await?,
        };
        let out = &context.out;
        let watched = async {
            let ended = until_terminal(context, &team, run_id, |run| {
                if out.is_json() {
                    return out.json_line(run);
                }
                let said = out.style().tone(describe(run), Tone::from(run.status));
                out.line(format_args!("run {run_id} ({} #{}) {said}", run.app_slug, run.run_no))
            })
            .await?;
            Ok(Exit::of_run(ended.status))
        };
        unless_interrupted(context, run_id, watched).await
    }
}

async fn newest(team: &TeamClient, app: &str) -> Result<i64, Failure> {
    let filter = RunFilter { limit: Some(1), ..RunFilter::default() };
    let runs = team.app_runs(app, &filter).await.map_err(|error| {
        Failure::from(error).help_not_found("`minitower apps list` shows the apps there are")
    })?;
    let run = runs.runs.first().ok_or_else(|| {
        Failure::new(format!("{app} has no runs yet"))
            .help(format_args!("`minitower runs create --app {app}` makes one"))
    })?;
    Ok(run.run_id)
}
