//! `minitower runs logs`

use clap::Args;
use minitower_client::LogFilter;

use crate::context::Context;
use crate::failure::{Exit, Failure};
use crate::follow;
use crate::output::Tone;
use crate::watch::{describe, no_such_run, unless_interrupted};

/// Flags of `runs logs`.
#[derive(Debug, Args)]
pub struct Logs {
    /// The run's id
    #[arg(value_name = "RUN", value_parser = super::run_id)]
    run_id: i64,
    /// Go on until the run has ended
    #[arg(long, short)]
    follow: bool,
    /// Only lines after this one
    #[arg(long, value_name = "NUMBER")]
    after_seq: Option<i64>,
    /// Lines of this attempt instead of the newest
    #[arg(long, value_name = "NUMBER", conflicts_with = "follow")]
    attempt: Option<i64>,
}

impl Logs {
    pub(super) async fn run(self, context: &Context) -> Result<Exit, Failure> {
        let team = context.team()?;
        if !self.follow {
            let filter = LogFilter { after_seq: self.after_seq, attempt: self.attempt, limit: None };
            let logs = team.logs(self.run_id, &filter).await.map_err(no_such_run)?;
            if context.out.is_json() {
                context.out.json(&logs)?;
            } else {
                follow::print(&context.out, &logs.logs)?;
            }
            return Ok(Exit::Success);
        }
        let following = async {
            let run = follow::to_the_end(context, &team, self.run_id, self.after_seq).await?;
            let said = format!("── run {} {} ──", run.run_id, describe(&run));
            let style = context.out.stderr_style();
            eprintln!("{}", style.tone(said, Tone::from(run.status)));
            Ok(Exit::Success)
        };
        unless_interrupted(context, self.run_id, following).await
    }
}
