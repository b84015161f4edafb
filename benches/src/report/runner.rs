//! What the real runner costs: its own rows, and beside them those of a former build in the same minutes.

use std::path::Path;

use super::Bench;
use super::numbers::mib;
use super::rows::{Bound, Row};
use crate::BenchError;
use crate::load::jobs::{FILES, LINES, import, large_project, long_log};
use crate::load::user_code::{CODE, user_code};
use crate::stats::{Samples, median, millis};

/// Runs whose import is timed.
const IMPORTS: usize = 5;
/// Runs of the large project.
const PROJECTS: usize = 3;

/// One figure of two builds.
#[derive(Debug, Clone)]
pub(super) struct Compared {
    /// The former build's values; empty without one, or where it cannot do this.
    pub(super) before: Vec<f64>,
    /// This build's.
    pub(super) after: Row,
}

/// What one build measures, a value for each repeat.
#[derive(Debug, Default)]
struct Measured {
    first_line: Vec<f64>,
    beyond_import: Vec<f64>,
    log_took: Vec<f64>,
    log_peak: Vec<f64>,
    project: Vec<f64>,
    idle: Vec<f64>,
}

/// The runner of this build and, with a former one, of both in turn.
pub(super) fn compared(bench: &Bench) -> Result<Vec<Compared>, BenchError> {
    let (mut before, mut after) = (Measured::default(), Measured::default());
    for run in 0..bench.plan.repeats {
        if let Some(former) = &bench.former {
            bench.say_run("the former runner", run);
            measure(bench, former, &mut before)?;
        }
        bench.say_run("the runner", run);
        measure(bench, &bench.programs, &mut after)?;
    }
    let row = |what: &str, bound, unit, values: Vec<f64>, how: &str, before: Vec<f64>| Compared {
        before,
        after: Row::new(what, bound, unit, values, how),
    };
    let lines = super::numbers::whole(LINES);
    let files = super::numbers::whole(FILES as u64);
    Ok(vec![
        row(
            "created → first line of Python, p50",
            Bound::AtMost(35.0),
            "ms",
            after.first_line,
            "the runner idle, the environment cached",
            before.first_line,
        ),
        row(
            "an environment of pandas, cached: first line beyond its import",
            Bound::AtMost(40.0),
            "ms",
            after.beyond_import,
            "created → the line behind `import pandas`, less what the import took by the job's own clock",
            before.beyond_import,
        ),
        row(
            &format!("{lines} short lines, to the end of the run"),
            Bound::AtMost(15.0),
            "s",
            after.log_took,
            "`seq` in a shell job; all of them are on the server then",
            before.log_took,
        ),
        row(
            &format!("{lines} short lines: the runner's peak"),
            Bound::AtMost(40.0),
            "MiB",
            after.log_peak,
            "`VmHWM`, in the same runs",
            before.log_peak,
        ),
        row(
            &format!("{files} files: created → first line"),
            Bound::AtMost(3.0),
            "s",
            after.project,
            "downloaded, checked, unpacked; ext4 without a journal looks at every inode that was freed in the last minutes, \
             here the former run's, before it makes a file (`recently_deleted` in Linux's `fs/ext4/ialloc.c`)",
            before.project,
        ),
        row(
            "an idle runner: resident",
            Bound::AtMost(10.0),
            "MiB",
            after.idle,
            "5 s after its start",
            before.idle,
        ),
    ])
}

fn measure(bench: &Bench, programs: &Path, found: &mut Measured) -> Result<(), BenchError> {
    let runner = programs.join("minitower-runner");
    {
        let (server, mut place) = bench.fresh_of(programs, CODE)?;
        let lines = user_code(&mut place, &server, &runner, bench.plan.first_lines)?;
        found.first_line.push(lines.first_line.figures().p50);
    }
    {
        let (server, mut place) = bench.fresh_of(programs, CODE)?;
        let imports = import(&mut place, &server, &runner, IMPORTS)?;
        let beyond: Vec<f64> =
            imports.iter().map(|one| millis(one.first_line.saturating_sub(one.import))).collect();
        found.beyond_import.push(median(&beyond));
    }
    {
        let (server, mut place) = bench.fresh_of(programs, CODE)?;
        let log = long_log(&mut place, &server, &runner)?;
        found.log_took.push(log.took.as_secs_f64());
        found.log_peak.push(mib(log.peak));
        found.idle.push(mib(log.idle));
    }
    let (server, mut place) = bench.fresh_of(programs, CODE)?;
    let mut projects = Samples::default();
    for took in large_project(&mut place, &server, &runner, PROJECTS)? {
        projects.push(took);
    }
    found.project.push(projects.figures().p50 / 1000.0);
    Ok(())
}
