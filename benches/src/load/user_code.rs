//! From a run's creation to the first line of its Python code, with the real runner.
//!
//! The code itself reads the clock that all processes of a machine share (`CLOCK_MONOTONIC`) and prints it. Beside each run,
//! `python -c pass` is timed: what the interpreter alone costs on this machine at this moment.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use nix::time::{ClockId, clock_gettime};
use tempfile::TempDir;

use super::creates::BODY;
use crate::place::APP;
use crate::server::REGISTRATION_TOKEN;
use crate::stats::Samples;
use crate::{BenchError, Place, Server, process};

/// Says when its first line ran.
pub const CODE: &str = "import time\nprint(f'first-line-at={time.monotonic_ns()};', flush=True)\n";

/// How long a run may take; the first one makes the environment.
const LIMIT: Duration = Duration::from_secs(60);
/// Between two looks at a run.
const LOOK: Duration = Duration::from_millis(20);
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

/// A real runner. Dropping it ends it.
struct Agent {
    child: Child,
    _folder: TempDir,
}

impl Agent {
    fn start(program: &Path, server: &Server) -> Result<Self, BenchError> {
        let folder = tempfile::Builder::new()
            .prefix("runner-")
            .tempdir_in(server.folder())
            .map_err(BenchError::io("cannot make a folder"))?;
        let log =
            File::create(server.folder().join("runner.log")).map_err(BenchError::io("cannot make a log"))?;
        let out = log.try_clone().map_err(BenchError::io("cannot share a log"))?;
        let mut command = process::bound_to_this(program);
        command.env_clear().env("PATH", std::env::var_os("PATH").unwrap_or_default());
        command.env("HOME", folder.path());
        command.env("MINITOWER_SERVER_URL", format!("http://{}", server.address()));
        command.env("MINITOWER_RUNNER_NAME", "bench-real-runner");
        command.env("MINITOWER_RUNNER_REGISTRATION_TOKEN", REGISTRATION_TOKEN);
        command.env("MINITOWER_DATA_DIR", folder.path());
        command.stdin(Stdio::null()).stdout(out).stderr(log);
        let child = command.spawn().map_err(BenchError::io(format!("cannot start {}", program.display())))?;
        Ok(Self { child, _folder: folder })
    }
}

impl Drop for Agent {
    fn drop(&mut self) {
        // It has no run by now, and may be gone already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
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
        let took = first_line(place).map_err(|error| with_log(&error, server))?;
        thread::sleep(PAUSE);
        let python = python(&interpreter)?;
        if number >= WARM_UP {
            found.first_line.push(took);
            found.python.push(python);
        }
    }
    found.runner_resident = process::memory(agent.child.id())?.resident;
    Ok(found)
}

/// A late run is explained by what the runner said.
fn with_log(error: &BenchError, server: &Server) -> BenchError {
    let log = fs::read_to_string(server.folder().join("runner.log")).unwrap_or_default();
    BenchError::Usage(format!("{error}; the runner's log: {log}"))
}

/// Creates a run and yields when its first line ran.
fn first_line(place: &mut Place) -> Result<Duration, BenchError> {
    let sent = now()?;
    let run = place.post(&format!("/api/v1/apps/{APP}/runs"), BODY, &[201])?.number("run_id")?;
    let deadline = Instant::now() + LIMIT;
    loop {
        let reply = place.get(&format!("/api/v1/runs/{run}"))?;
        match reply.text("status")?.as_str() {
            "completed" => break,
            "queued" | "leased" | "running" if Instant::now() < deadline => thread::sleep(LOOK),
            status => return Err(BenchError::Usage(format!("run {run} is {status}"))),
        }
    }
    let logs = String::from_utf8_lossy(&place.get(&format!("/api/v1/runs/{run}/logs"))?.body).into_owned();
    let ran = logs
        .split_once("first-line-at=")
        .and_then(|(_, rest)| rest.split_once(';'))
        .and_then(|(nanos, _)| nanos.parse().ok())
        .map(Duration::from_nanos);
    let ran = ran.ok_or_else(|| BenchError::Http(format!("run {run} says no time: {logs}")))?;
    Ok(ran.saturating_sub(sent))
}

/// What `time.monotonic_ns()` of Python reads.
fn now() -> Result<Duration, BenchError> {
    clock_gettime(ClockId::CLOCK_MONOTONIC)
        .map(Duration::from)
        .map_err(|error| BenchError::Io { what: "clock_gettime".to_owned(), source: error.into() })
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
