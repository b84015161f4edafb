//! `minitower runs watch`

use std::borrow::Cow;

use clap::Args;
use minitower_client::{RunFilter, TeamClient};

use crate::commands::apps::no_such_app;
use crate::context::Context;
use crate::failure::{Exit, Explained, Failure};
use crate::output::Tone;
use crate::watch::{describe, run_id, unless_interrupted, until_terminal};

/// Flags of `runs watch`.
#[derive(Debug, Args)]
#[command(
    after_help = "Exit code: 0 completed, 1 failed or dead, 2 cancelled. Ctrl-C stops watching; the run continues."
)]
pub struct Watch {
    /// The run's id; by default the app's newest run
    #[arg(value_name = "RUN", value_parser = run_id)]
    run_id: Option<i64>,
    /// Watch the newest run of this app
    #[arg(long, conflicts_with = "run_id")]
    app: Option<String>,
}

/// The app has never been run.
#[derive(Debug, thiserror::Error)]
#[error("{app} has no runs yet")]
struct NoRuns {
    app: String,
}

impl Explained for NoRuns {
    fn help(&self) -> Option<Cow<'static, str>> {
        Some(format!("`minitower runs create --app {}` creates one", self.app).into())
    }
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
    let runs = team.app_runs(app, &filter).await.map_err(no_such_app)?;
    let run = runs.runs.first().ok_or_else(|| NoRuns { app: app.to_owned() })?;
    Ok(run.run_id)
}
