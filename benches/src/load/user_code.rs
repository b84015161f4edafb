//! From a run's creation to the first line of its Python code, with the real runner.
//!
//! The code itself reads the clock that all processes of a machine share (`CLOCK_MONOTONIC`) and prints it. Beside each run,
//! `python -c pass` is timed: what the interpreter alone costs on this machine at this moment.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use super::agent::{Agent, FIRST_LINE, complete, logs, nanoseconds};
use crate::stats::Samples;
use crate::{BenchError, Place, Server, process};

/// Says when its first line ran.
pub const CODE: &str = "import time\nprint(f'first-line-at={time.monotonic_ns()};', flush=True)\n";

/// How long a run may take; the first one makes the environment.
const LIMIT: Duration = Duration::from_secs(60);
/// From the end of a run to the next create: the runner cleans up and polls again.
const PAUSE: Duration = Duration::from_millis(150);
/// First runs that are not measured: they make the environment that later ones find cached.
const WARM_UP: usize = 3;

/// What came out of it.
#[derive(Debug, Default)]
pub struct UserCode {
    /// From the create's sending to the first line.
    pub first_line: Samples,
    /// `python -c pass`, from start to exit.
    pub python: Samples,
    /// Resident memory of the runner at the end, in KiB.
    pub runner_resident: u64,
}

/// Runs the app so many times; its code is [`CODE`].
pub fn user_code(
    place: &mut Place,
    server: &Server,
    runner: &Path,
    count: usize,
) -> Result<UserCode, BenchError> {
    let agent = Agent::start(runner, server)?;
    let interpreter = interpreter()?;
    let mut found = UserCode::default();
    for number in 0..WARM_UP + count {
        let done = complete(place, server, LIMIT)?;
        let took = nanoseconds(&logs(place, done.run, 0)?, FIRST_LINE)?.saturating_sub(done.sent);
        thread::sleep(PAUSE);
        let python = python(&interpreter)?;
        if number >= WARM_UP {
            found.first_line.push(took);
            found.python.push(python);
        }
    }
    found.runner_resident = process::memory(agent.pid())?.resident;
    Ok(found)
}

/// The interpreter itself: `python3` may be a script that looks for it first.
fn interpreter() -> Result<PathBuf, BenchError> {
    let output = Command::new("python3")
        .args(["-c", "import sys; print(sys.executable)"])
        .stdin(Stdio::null())
        .output()
        .map_err(BenchError::io("cannot start python3"))?;
    Ok(PathBuf::from(String::from_utf8_lossy(&output.stdout).trim()))
}

fn python(interpreter: &Path) -> Result<Duration, BenchError> {
    let mut command = Command::new(interpreter);
    command.args(["-c", "pass"]).stdin(Stdio::null());
    let began = Instant::now();
    let status =
        command.status().map_err(BenchError::io(format!("cannot start {}", interpreter.display())))?;
    if status.success() {
        Ok(began.elapsed())
    } else {
        Err(BenchError::Usage(format!("python -c pass: {status}")))
    }
}
