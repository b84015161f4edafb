//! `minitower runs list`

use clap::Args;
use minitower_client::RunFilter;
use minitower_client::wire::Timestamp;
use minitower_client::wire::runs::Run;

use crate::context::Context;
use crate::failure::{Exit, Failure};
use crate::output::{Cell, duration, now, time};

/// Flags of `runs list`.
#[derive(Debug, Args)]
pub struct List {
    /// Only runs of this app
    #[arg(long)]
    app: Option<String>,
    /// Only runs in this state: queued, leased, running, cancelling, completed, failed, cancelled or dead
    #[arg(long)]
    status: Option<String>,
    /// Only runs in this environment
    #[arg(long, value_name = "NAME")]
    environment: Option<String>,
    /// At most so many, 1 to 100
    #[arg(long, value_name = "NUMBER", default_value_t = 20, value_parser = clap::value_parser!(u32).range(1..=100))]
    limit: u32,
    /// Only runs older than this one
    #[arg(long, value_name = "RUN", value_parser = super::run_id)]
    before: Option<i64>,
}

impl List {
    pub(super) async fn run(self, context: &Context) -> Result<Exit, Failure> {
        let filter = RunFilter {
            limit: Some(self.limit),
            offset: None,
            before: self.before,
            status: self.status,
            app: self.app,
            environment: self.environment,
        };
        let runs = context.team()?.runs(&filter).await?;
        if context.out.is_json() {
            context.out.json(&runs)?;
            return Ok(Exit::Success);
        }
        let header = ["RUN", "APP", "NO", "STATUS", "VER", "ENV", "QUEUED", "TOOK", "RUNNER"];
        let now = context.out.is_terminal().then(now);
        let empty = "There are no such runs; `minitower runs create` makes one.";
        context.out.table(&header, &runs.runs.iter().map(|run| row(run, now)).collect::<Vec<_>>(), empty)?;
        Ok(Exit::Success)
    }
}

/// With `now`, for the narrow table of a terminal, `QUEUED` is an age.
fn row(run: &Run, now: Option<Timestamp>) -> Vec<Cell> {
    let queued =
        now.map_or_else(|| time(run.queued_at), |now| format!("{} ago", duration(run.queued_at, now)));
    vec![
        Cell::new(run.run_id),
        Cell::new(&run.app_slug),
        Cell::new(run.run_no),
        Cell::toned(run.status.as_str(), run.status.into()),
        Cell::new(run.version_no),
        Cell::optional(run.environment.as_ref()),
        Cell::new(queued),
        Cell::optional(run.started_at.zip(run.finished_at).map(|(from, to)| duration(from, to))),
        Cell::optional(run.runner.as_ref()),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_person_sees_ages_and_a_program_sees_times() {
        let run: Run = serde_json::from_str(
            r#"{"run_id":7,"app_id":1,"app_slug":"hello","run_no":1,"version_no":1,"priority":0,"max_retries":0,
            "retry_count":0,"status":"queued","cancel_requested":false,"queued_at":"2026-01-02T03:04:00Z"}"#,
        )
        .unwrap();
        let shown = |now: Option<&str>| format!("{:?}", row(&run, now.map(|now| now.parse().unwrap())));
        assert!(shown(Some("2026-01-02T03:07:05Z")).contains("3m05s ago"));
        assert!(shown(None).contains("2026-01-02 03:04:00Z"));
    }
}
