//! Jobs that are large in one way: an environment, a log, a project. With the real runner.

use std::path::Path;
use std::thread;
use std::time::Duration;

use flate2::Compression;

use super::agent::{Agent, FIRST_LINE, complete, logs, nanoseconds};
use crate::place::archive_of;
use crate::{BenchError, Place, Server, process};

/// Lines of the long log.
pub const LINES: u64 = 1_000_000;
/// Files of the large project.
pub const FILES: usize = 20_000;
/// How long a run may take; the first with an environment downloads it.
const LIMIT: Duration = Duration::from_secs(280);
/// From the end of a run to the next create: the runner cleans up and polls again.
const PAUSE: Duration = Duration::from_millis(300);
/// How long a runner is left alone before its memory is read.
const SETTLE: Duration = Duration::from_secs(5);
/// Says how long the import took, and when the line behind it ran.
const IMPORTING: &str = "import time\nbegan = time.monotonic_ns()\nimport pandas\nended = time.monotonic_ns()\n\
    print(f'import-took={ended - began};first-line-at={ended};', flush=True)\n";

/// A large environment that is prepared already.
#[derive(Debug, Clone, Copy)]
pub struct Import {
    /// From the create's sending to the first line behind the import.
    pub first_line: Duration,
    /// The import alone.
    pub import: Duration,
}

/// Runs a job that imports pandas, `count` times after the one that prepares its environment.
pub fn import(
    place: &mut Place,
    server: &Server,
    runner: &Path,
    count: usize,
) -> Result<Vec<Import>, BenchError> {
    let files = [("main.py", IMPORTING.as_bytes()), ("requirements.txt", b"pandas\n".as_slice())];
    place.upload(&archive_of(files, Compression::fast())?, "main.py")?;
    let _agent = Agent::start(runner, server)?;
    let mut found = Vec::new();
    // Two before: one prepares the environment, one reads it from the disk.
    for number in 0..count + 2 {
        let done = complete(place, server, LIMIT)?;
        let log = logs(place, done.run, 0)?;
        let first_line = nanoseconds(&log, FIRST_LINE)?.saturating_sub(done.sent);
        if number >= 2 {
            found.push(Import { first_line, import: nanoseconds(&log, "import-took=")? });
        }
        thread::sleep(PAUSE);
    }
    Ok(found)
}

/// A long log.
#[derive(Debug, Clone, Copy)]
pub struct Log {
    /// From the create's sending until the run has completed: its log is delivered by then.
    pub took: Duration,
    /// The runner's peak of resident memory meanwhile, in KiB.
    pub peak: u64,
    /// The runner's resident memory before, after it was left alone, in KiB.
    pub idle: u64,
}

/// Runs a job that writes [`LINES`] short lines, and checks that the server has all of them.
pub fn long_log(place: &mut Place, server: &Server, runner: &Path) -> Result<Log, BenchError> {
    let code = format!("#!/bin/sh\nseq {LINES}\n");
    place.upload(&archive_of([("main.sh", code.as_bytes())], Compression::fast())?, "main.sh")?;
    let agent = Agent::start(runner, server)?;
    thread::sleep(SETTLE);
    let idle = process::memory(agent.pid())?.resident;
    process::forget_peak(agent.pid())?;
    let done = complete(place, server, LIMIT)?;
    let peak = process::memory(agent.pid())?.peak;
    // The sequence has no gaps: a line this far means that there are as many.
    let end = logs(place, done.run, LINES - 1)?;
    if !end.contains(&format!("\"line\":\"{LINES}\"")) {
        return Err(BenchError::Http(format!("the log lacks its last line: {end}")));
    }
    Ok(Log { took: done.took, peak, idle })
}

/// Runs a job of [`FILES`] files, `count` times, and yields the times from the create's sending to the first line.
pub fn large_project(
    place: &mut Place,
    server: &Server,
    runner: &Path,
    count: usize,
) -> Result<Vec<Duration>, BenchError> {
    let code = super::user_code::CODE.as_bytes();
    let names: Vec<String> = (0..FILES).map(|number| format!("data/{:03}/{number}", number / 200)).collect();
    let files = names.iter().map(|name| (name.as_str(), b"x".as_slice()));
    place.upload(&archive_of(files.chain([("main.py", code)]), Compression::fast())?, "main.py")?;
    let _agent = Agent::start(runner, server)?;
    let mut found = Vec::new();
    for _ in 0..count {
        let done = complete(place, server, LIMIT)?;
        found.push(nanoseconds(&logs(place, done.run, 0)?, FIRST_LINE)?.saturating_sub(done.sent));
        thread::sleep(PAUSE);
    }
    Ok(found)
}
