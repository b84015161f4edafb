//! A runner process.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::Duration;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use super::{ControlPlane, processes, until};

/// A runner process; killed with the test.
pub(crate) struct Runner {
    child: Child,
    data: PathBuf,
    log: PathBuf,
}

impl Runner {
    /// Starts a runner that works in `data` and polls `server`.
    pub(crate) fn start(server: &ControlPlane, data: &Path) -> Self {
        Self::with(server, data, &[])
    }

    /// The same with further variables.
    pub(crate) fn with(server: &ControlPlane, data: &Path, variables: &[(&str, &str)]) -> Self {
        let log = data.join("runner.log");
        let mut command = Command::new(env!("CARGO_BIN_EXE_minitower-runner"));
        command
            .env("MINITOWER_SERVER_URL", &server.url)
            .env("MINITOWER_RUNNER_NAME", "tested")
            .env("MINITOWER_REGISTRATION_TOKEN", "registration")
            .env("MINITOWER_DATA_DIR", data)
            .env("MINITOWER_POLL_INTERVAL", "100ms")
            .env("MINITOWER_KILL_GRACE_PERIOD", "1s")
            .env("MINITOWER_LOG", "info,minitower_runner=debug")
            .env("A_SECRET_OF_THE_RUNNER", "must-not-be-seen")
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(File::options().create(true).append(true).open(&log).unwrap());
        for (name, value) in variables {
            command.env(name, value);
        }
        Self { child: command.spawn().unwrap(), data: data.join("tested"), log }
    }

    /// The runner's own folder.
    pub(crate) fn data(&self) -> &Path {
        &self.data
    }

    pub(crate) fn pid(&self) -> i32 {
        i32::try_from(self.child.id()).unwrap()
    }

    /// The job's process that calls itself `inner`: in a PID namespace it has another id than for us.
    #[track_caller]
    pub(crate) fn process(&self, inner: i32) -> i32 {
        let found = processes::below(self.pid()).into_iter().find(|pid| processes::inner_id(*pid) == Some(inner));
        found.unwrap_or_else(|| panic!("no process of the job calls itself {inner}"))
    }

    /// The supervisor of the running job.
    #[track_caller]
    pub(crate) fn supervisor(&self) -> i32 {
        let mut below = processes::below(self.pid()).into_iter();
        below.find(|pid| processes::parent(*pid) == Some(self.pid())).expect("a job runs")
    }

    pub(crate) fn signal(&self, signal: Signal) {
        kill(Pid::from_raw(self.pid()), signal).unwrap();
    }

    /// What the runner has logged.
    pub(crate) fn log(&self) -> String {
        // Gone when the test's folder was removed first.
        std::fs::read_to_string(&self.log).unwrap_or_default()
    }

    /// Waits for its end.
    pub(crate) async fn ends(&mut self, within: Duration) -> ExitStatus {
        let mut status = None;
        until(within, "the runner has ended", || {
            status = self.child.try_wait().unwrap();
            status.is_some()
        })
        .await;
        status.unwrap()
    }
}

impl Drop for Runner {
    fn drop(&mut self) {
        let _ended_already = self.child.kill();
        let _status = self.child.wait();
        if std::thread::panicking() {
            eprintln!("the runner's log:\n{}", self.log());
        }
    }
}
