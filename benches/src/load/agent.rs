//! A real runner, and runs that it carries out.

use std::fs::{self, File};
use std::path::Path;
use std::process::{Child, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use nix::time::{ClockId, clock_gettime};
use tempfile::TempDir;

use super::creates::BODY;
use crate::place::APP;
use crate::server::REGISTRATION_TOKEN;
use crate::{BenchError, Place, Server, process};

/// Between two looks at a run.
const LOOK: Duration = Duration::from_millis(20);
/// How the code of a job says when its first line ran, by [`now`].
pub(super) const FIRST_LINE: &str = "first-line-at=";

/// A real runner. Dropping it ends it.
pub(super) struct Agent {
    child: Child,
    _folder: TempDir,
}

impl Agent {
    /// Starts `program`, with a folder of its own and the variables of this process that say where packages come from.
    pub(super) fn start(program: &Path, server: &Server) -> Result<Self, BenchError> {
        let folder = tempfile::Builder::new()
            .prefix("runner-")
            .tempdir_in(server.folder())
            .map_err(BenchError::io("cannot make a folder"))?;
        let log =
            File::create(server.folder().join("runner.log")).map_err(BenchError::io("cannot make a log"))?;
        let out = log.try_clone().map_err(BenchError::io("cannot share a log"))?;
        let mut command = process::bound_to_this(program);
        command.env_clear().env("PATH", std::env::var_os("PATH").unwrap_or_default());
        let of_packages = |name: &str| {
            ["PIP_", "UV_"].iter().any(|prefix| name.starts_with(prefix))
                || name.to_ascii_lowercase().ends_with("_proxy")
                || ["SSL_CERT_FILE", "REQUESTS_CA_BUNDLE"].contains(&name)
        };
        command.envs(std::env::vars().filter(|(name, _)| of_packages(name)));
        command.env("HOME", folder.path());
        command.env("MINITOWER_SERVER_URL", format!("http://{}", server.address()));
        command.env("MINITOWER_RUNNER_NAME", "bench-real-runner");
        command.env("MINITOWER_RUNNER_REGISTRATION_TOKEN", REGISTRATION_TOKEN);
        command.env("MINITOWER_DATA_DIR", folder.path());
        command.stdin(Stdio::null()).stdout(out).stderr(log);
        let child = command.spawn().map_err(BenchError::io(format!("cannot start {}", program.display())))?;
        Ok(Self { child, _folder: folder })
    }

    /// Its process.
    pub(super) fn pid(&self) -> u32 {
        self.child.id()
    }
}

impl Drop for Agent {
    fn drop(&mut self) {
        // It has no run by now, and may be gone already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A run that has completed.
pub(super) struct Done {
    /// Its id.
    pub(super) run: u64,
    /// When its create was sent, by [`now`].
    pub(super) sent: Duration,
    /// How long it took until it was seen to have completed.
    pub(super) took: Duration,
}

/// Creates a run of the newest version and waits until it has completed.
pub(super) fn complete(place: &mut Place, server: &Server, limit: Duration) -> Result<Done, BenchError> {
    let sent = now()?;
    let run = place.post(&format!("/api/v1/apps/{APP}/runs"), BODY, &[201])?.number("run_id")?;
    let deadline = Instant::now() + limit;
    loop {
        let reply = place.get(&format!("/api/v1/runs/{run}"))?;
        match reply.text("status")?.as_str() {
            "completed" => return Ok(Done { run, sent, took: now()?.saturating_sub(sent) }),
            "queued" | "leased" | "running" if Instant::now() < deadline => thread::sleep(LOOK),
            status => {
                let log = fs::read_to_string(server.folder().join("runner.log")).unwrap_or_default();
                let said = logs(place, run, 0).unwrap_or_default();
                return Err(BenchError::Usage(format!(
                    "run {run} is {status}: {said}; the runner's log: {log}"
                )));
            }
        }
    }
}

/// A page of a run's log as JSON, from behind line `after`.
pub(super) fn logs(place: &mut Place, run: u64, after: u64) -> Result<String, BenchError> {
    let reply = place.get(&format!("/api/v1/runs/{run}/logs?after_seq={after}"))?;
    Ok(String::from_utf8_lossy(&reply.body).into_owned())
}

/// The nanoseconds that a log's first `name` is followed by, up to a semicolon.
pub(super) fn nanoseconds(log: &str, name: &str) -> Result<Duration, BenchError> {
    log.split_once(name)
        .and_then(|(_, rest)| rest.split_once(';'))
        .and_then(|(nanos, _)| nanos.parse().ok())
        .map(Duration::from_nanos)
        .ok_or_else(|| BenchError::Http(format!("the run's log has no {name}: {log}")))
}

/// What `time.monotonic_ns()` of Python reads.
pub(super) fn now() -> Result<Duration, BenchError> {
    clock_gettime(ClockId::CLOCK_MONOTONIC)
        .map(Duration::from)
        .map_err(|error| BenchError::Io { what: "clock_gettime".to_owned(), source: error.into() })
}
