//! `minitower runs watch`

use clap::Args;

use super::newest;
use crate::context::Context;
use crate::failure::{Exit, Failure};
use crate::output::{Tone, clean};
use crate::watch::{describe, run_id, unless_interrupted, until_terminal};

/// Flags of `runs watch`.
#[derive(Debug, Args)]
#[command(
    after_help = "Exit code: 0 completed, 1 failed or dead, 2 cancelled. Ctrl-C stops watching; the run continues."
)]
pub struct Watch {
    /// The run's id; by default the newest run
    #[arg(value_name = "RUN", value_parser = run_id)]
    run_id: Option<i64>,
    /// Watch the newest run of this app
    #[arg(long, conflicts_with = "run_id")]
    app: Option<String>,
}

impl Watch {
    pub(super) async fn run(self, context: &Context) -> Result<Exit, Failure> {
        let team = context.team()?;
        let run_id = match self.run_id {
            Some(run_id) => run_id,
            None => newest(context, &team, self.app.as_deref()).await?.run_id,
        };
        let out = &context.out;
        let watched = async {
            let ended = until_terminal(context, &team, run_id, |run| {
                if out.is_json() {
                    return out.json_line(run);
                }
                let said = out.style().tone(describe(run), Tone::from(run.status));
                out.line(format_args!("run {run_id} ({} #{}) {said}", clean(&run.app_slug), run.run_no))
            })
            .await?;
            Ok(Exit::of_run(ended.status))
        };
        unless_interrupted(context, run_id, watched).await
    }
}
