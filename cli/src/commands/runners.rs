//! `minitower runners`

use clap::{Args, Subcommand};
use minitower_client::wire::Timestamp;
use minitower_client::wire::admin::{Drained, Runner, RunnerStatus};
use minitower_client::{Error, RunnerFilter};

use crate::context::Context;
use crate::failure::{Exit, Failure};
use crate::fields::in_flags;
use crate::output::{Cell, Tone, duration, now, time};

/// The subcommands.
#[derive(Debug, Subcommand)]
pub enum Runners {
    /// List runners, grouped by pool
    List(List),
    /// Stop giving a runner new runs; its current run continues
    Drain(Fence),
    /// Give a drained runner new runs again, unless another owner has drained it too
    Undrain(Fence),
}

/// Flags of `runners list`.
#[derive(Debug, Args)]
pub struct List {
    /// Only runners of this pool; in a cluster, NAMESPACE/NAME
    #[arg(long, value_name = "NAME")]
    pool: Option<String>,
    /// Only runners of this environment
    #[arg(long, value_name = "NAME")]
    environment: Option<String>,
}

/// Flags of `runners drain` and `runners undrain`.
#[derive(Debug, Args)]
pub struct Fence {
    /// The runner's name
    name: String,
    /// The owner of the fence on the runner; by default your team
    #[arg(long)]
    owner: Option<String>,
}

impl Runners {
    /// Carries the subcommand out.
    pub async fn run(self, context: &Context) -> Result<Exit, Failure> {
        match self {
            Self::List(command) => command.run(context).await,
            Self::Drain(Fence { name, owner }) => {
                let drained = context.team()?.drain_runner(&name, owner.as_deref()).await;
                show(context, &drained.map_err(no_such_runner)?)
            }
            Self::Undrain(Fence { name, owner }) => {
                let drained = context.team()?.undrain_runner(&name, owner.as_deref()).await;
                show(context, &drained.map_err(no_such_runner)?)
            }
        }
    }
}

fn show(context: &Context, drained: &Drained) -> Result<Exit, Failure> {
    let yes_no = |yes| Cell::new(if yes { "yes" } else { "no" });
    context.out.answer(drained, |out| {
        out.details(&[
            ("runner", Some(Cell::new(&drained.name))),
            ("draining", Some(yes_no(drained.draining))),
            ("busy", Some(yes_no(drained.busy))),
            ("run", drained.run_id.map(Cell::new)),
        ])
    })?;
    Ok(Exit::Success)
}

fn no_such_runner(error: Error) -> Failure {
    Failure::from(in_flags(error, &[("owner", "--owner")])).help_not_found(
        "`minitower runners list` shows the runners; a team changes only those registered with its own token",
    )
}

impl List {
    async fn run(self, context: &Context) -> Result<Exit, Failure> {
        let filter = RunnerFilter { pool: self.pool, environment: self.environment };
        let is_filtered = filter.pool.is_some() || filter.environment.is_some();
        let answer = context.team()?.runners(&filter).await?;
        context.out.answer(&answer, |out| {
            // Grouped by pool, those without one first. The names are in order already.
            let mut runners: Vec<_> = answer.runners.iter().collect();
            runners.sort_by(|a, b| a.pool.cmp(&b.pool));
            let now = out.is_terminal().then(now);
            let rows: Vec<_> = runners.into_iter().map(|runner| row(runner, now)).collect();
            let header = ["NAME", "POOL", "ENVIRONMENT", "STATUS", "WORK", "RUN", "LAST SEEN"];
            let empty = if is_filtered {
                "There are no such runners; without flags, all are listed."
            } else {
                "There are no runners; start one with `minitower-runner`."
            };
            let order = ["LAST SEEN", "ENVIRONMENT", "POOL", "RUN", "WORK"];
            out.table_without(&header, &order, &rows, empty)
        })?;
        Ok(Exit::Success)
    }
}

/// With `now`, for the narrow table of a terminal, times are shown as ages.
fn row(runner: &Runner, now: Option<Timestamp>) -> Vec<Cell> {
    let last_seen = runner
        .last_seen_at
        .map(|at| now.map_or_else(|| time(at), |now| format!("{} ago", duration(at, now))));
    vec![
        Cell::new(&runner.name),
        Cell::optional(runner.pool.as_ref()),
        Cell::new(&runner.environment),
        match (runner.status, runner.draining) {
            (RunnerStatus::Online, false) => Cell::toned("online", Tone::Good),
            (RunnerStatus::Online, true) => Cell::toned("draining", Tone::Waiting),
            (RunnerStatus::Offline, false) => Cell::toned("offline", Tone::Bad),
            (RunnerStatus::Offline, true) => Cell::toned("offline, draining", Tone::Bad),
        },
        work(runner, now),
        Cell::optional(runner.run_id),
        Cell::optional(last_seen),
    ]
}

/// Busy or idle, and since when. A team is not told since when a runner of the platform is busy.
fn work(runner: &Runner, now: Option<Timestamp>) -> Cell {
    let (word, since, tone) = match (runner.busy, runner.status) {
        (true, _) => ("busy", runner.attempt_started_at, Tone::Busy),
        (false, RunnerStatus::Online) => ("idle", runner.idle_since, Tone::Dim),
        // No process waits there for work.
        (false, RunnerStatus::Offline) => return Cell::optional(None::<&str>),
    };
    match (since, now) {
        (Some(since), Some(now)) => Cell::toned(format_args!("{word} {}", duration(since, now)), tone),
        (Some(since), None) => Cell::toned(format_args!("{word} since {}", time(since)), tone),
        (None, _) => Cell::toned(word, tone),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_person_sees_ages_and_a_program_sees_times() {
        let runner: Runner = serde_json::from_str(
            r#"{"runner_id":1,"name":"r","environment":"default","status":"online","scope":"team","busy":false,
            "draining":false,"idle_since":"2026-01-02T03:04:00Z","last_seen_at":"2026-01-02T03:07:00Z"}"#,
        )
        .unwrap();
        let shown = |now: Option<&str>| format!("{:?}", row(&runner, now.map(|now| now.parse().unwrap())));
        let to_a_person = shown(Some("2026-01-02T03:07:05Z"));
        assert!(to_a_person.contains("idle 3m05s") && to_a_person.contains("5.0s ago"), "{to_a_person}");
        let since = time(runner.idle_since.unwrap());
        assert!(shown(None).contains(&format!("idle since {since}")));
    }
}
