//! How soon a run is taken up: by a waiting runner, and by user code.

use super::Bench;
use super::rows::{Bound, Row};
use crate::BenchError;
use crate::load::dispatch;
use crate::load::user_code::{CODE, user_code};
use crate::stats::Figures;

/// Runners that wait.
const RUNNERS: usize = 10;

/// From a create to its lease.
pub(super) fn dispatched(bench: &Bench) -> Result<Vec<Row>, BenchError> {
    let (mut request, mut answer, mut create) = (vec![], vec![], vec![]);
    for run in 0..bench.plan.repeats {
        bench.say_run("created to leased", run);
        let (_server, mut place) = bench.fresh()?;
        let found = dispatch(&mut place, RUNNERS, bench.plan.dispatches)?;
        request.push(found.from_request.figures());
        answer.push(found.from_answer.figures());
        create.push(found.create.figures());
    }
    let how = format!(
        "{RUNNERS} idle runners in long polls, one run at a time; from the create's answer until the lease has reached a runner (0 when \
         the lease came first)"
    );
    let whole = "from the create's sending: both commits and all of HTTP in it";
    Ok(vec![
        Row::new("created → leased, p50", Bound::AtMost(1.5), "ms", p50(&answer), how.clone()),
        Row::new("created → leased, p99", Bound::AtMost(2.0), "ms", p99(&answer), how),
        Row::new("create sent → leased, p50", Bound::AtMost(1.5), "ms", p50(&request), whole),
        Row::new("create sent → leased, p99", Bound::AtMost(2.0), "ms", p99(&request), whole),
        Row::new(
            "a create alone on an idle server, p50",
            Bound::None,
            "ms",
            p50(&create),
            "in the same runs",
        ),
    ])
}

/// From a create to its first line of Python.
pub(super) fn first_line(bench: &Bench) -> Result<Vec<Row>, BenchError> {
    let (mut line, mut python, mut memory) = (vec![], vec![], vec![]);
    for run in 0..bench.plan.repeats {
        bench.say_run("created to first line of user code", run);
        let (server, mut place) = bench.fresh_with(CODE)?;
        let found =
            user_code(&mut place, &server, &bench.program("minitower-runner"), bench.plan.first_lines)?;
        line.push(found.first_line.figures());
        python.push(found.python.figures());
        memory.push(super::numbers::mib(found.runner_resident));
    }
    let how = "real runner, idle; from the create's sending until the code's first line has read the clock; environment cached";
    Ok(vec![
        Row::new("created → first line of Python", Bound::AtMost(35.0), "ms", p50(&line), how),
        Row::new(
            "`python -c pass`, start to exit",
            Bound::None,
            "ms",
            p50(&python),
            "between those runs: the yardstick",
        ),
        Row::new("resident memory of an idle runner", Bound::None, "MiB", memory, "after those runs"),
    ])
}

fn p50(figures: &[Figures]) -> Vec<f64> {
    figures.iter().map(|one| one.p50).collect()
}

fn p99(figures: &[Figures]) -> Vec<f64> {
    figures.iter().map(|one| one.p99).collect()
}
