//! `minitower runners list`

use minitower_client::wire::admin::{Runner, RunnerScope, RunnerStatus};

use crate::context::Context;
use crate::failure::{Exit, Failure};
use crate::output::{Cell, Tone, time};

pub(super) async fn run(context: &Context) -> Result<Exit, Failure> {
    let runners = context.team()?.runners().await?;
    if context.out.is_json() {
        context.out.json(&runners)?;
        return Ok(Exit::Success);
    }
    let rows: Vec<_> = runners.runners.iter().map(row).collect();
    let header = ["NAME", "ENVIRONMENT", "SCOPE", "POOL", "STATUS", "WORK", "LAST SEEN"];
    context.out.table(&header, &rows, "There are no runners; start one with `minitower-runner`.")?;
    Ok(Exit::Success)
}

fn row(runner: &Runner) -> Vec<Cell> {
    vec![
        Cell::new(&runner.name),
        Cell::new(&runner.environment),
        Cell::new(match runner.scope {
            RunnerScope::Platform => "platform",
            RunnerScope::Team => "team",
        }),
        Cell::optional(runner.pool.as_ref()),
        match runner.status {
            RunnerStatus::Online => Cell::toned("online", Tone::Good),
            RunnerStatus::Offline => Cell::toned("offline", Tone::Bad),
        },
        work(runner),
        Cell::optional(runner.last_seen_at.map(time)),
    ]
}

fn work(runner: &Runner) -> Cell {
    let busy = match (runner.busy, runner.run_id) {
        (true, Some(run_id)) => format!("run {run_id}"),
        (true, None) => "busy".to_owned(),
        (false, _) => "idle".to_owned(),
    };
    match (runner.draining, runner.busy) {
        (true, _) => Cell::toned(format_args!("{busy}, draining"), Tone::Waiting),
        (false, true) => Cell::toned(busy, Tone::Busy),
        (false, false) => Cell::toned(busy, Tone::Dim),
    }
}
