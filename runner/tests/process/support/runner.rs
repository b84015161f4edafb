//! A runner process.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::Duration;

use minitower_test_plane::REGISTRATION_TOKEN;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use super::control_plane::RUNNER;
use super::{ControlPlane, processes, until};

/// As whom and where a runner runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Circumstances {
    /// As the test: root in a container, a user on a developer's machine.
    AsTheTest,
    /// As a user without any right. Needs a test that is root.
    AsNobody,
    /// Where a part of `/proc` is covered, as container engines do: no further `/proc` may be mounted.
    WithMaskedProc,
    /// Where no namespaces can be made, as in many a pod.
    WithoutNamespaces,
    /// As the first process of such a pod, with the pod's own shared memory.
    AsPod,
}

impl Circumstances {
    /// Whether jobs get a PID namespace.
    pub(crate) fn gives_processes(self) -> bool {
        matches!(self, Self::AsTheTest | Self::AsNobody)
    }

    /// What has to start the runner.
    fn starter(self) -> &'static [&'static str] {
        match self {
            Self::AsNobody if nix::unistd::geteuid().is_root() => {
                &["setpriv", "--reuid=12345", "--regid=12345", "--clear-groups", "--inh-caps=-all"]
            }
            Self::AsTheTest | Self::AsNobody => &[],
            Self::WithMaskedProc => &[
                "unshare",
                "--user",
                "--map-root-user",
                "--mount",
                "sh",
                "-c",
                "mount --bind /dev/null /proc/version && exec unshare --user --map-root-user --mount \"$0\"",
            ],
            Self::WithoutNamespaces => &[
                "unshare",
                "--user",
                "--map-root-user",
                "sh",
                "-c",
                "echo 0 >/proc/sys/user/max_user_namespaces && exec setpriv --bounding-set=-all --inh-caps=-all \"$0\"",
            ],
            Self::AsPod => &[
                "unshare",
                "--user",
                "--map-root-user",
                "--mount",
                "--pid",
                "--fork",
                "--kill-child",
                "--mount-proc",
                "sh",
                "-c",
                "mount -t tmpfs shm /dev/shm && echo 0 >/proc/sys/user/max_user_namespaces && exec setpriv --bounding-set=-all --inh-caps=-all \"$0\"",
            ],
        }
    }
}

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
        Self::through(&[], server, data, variables)
    }

    /// The same, started by another program: its name and arguments.
    pub(crate) fn through(
        starter: &[&str],
        server: &ControlPlane,
        data: &Path,
        variables: &[(&str, &str)],
    ) -> Self {
        let words: Vec<&str> =
            starter.iter().copied().chain([env!("CARGO_BIN_EXE_minitower-runner")]).collect();
        let mut command = Command::new(words[0]);
        command.args(&words[1..]);
        Self::by(command, server, data, variables)
    }

    /// The same through a command that becomes the runner.
    pub(crate) fn by(
        mut command: Command,
        server: &ControlPlane,
        data: &Path,
        variables: &[(&str, &str)],
    ) -> Self {
        let log = data.join("runner.log");
        command
            .env("MINITOWER_SERVER_URL", &server.url)
            .env("MINITOWER_RUNNER_NAME", RUNNER)
            .env("MINITOWER_REGISTRATION_TOKEN", REGISTRATION_TOKEN)
            .env("MINITOWER_DATA_DIR", data)
            // No test asks the public index for uv.
            .env("MINITOWER_UV", "off")
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
        Self { child: command.spawn().unwrap(), data: data.join(RUNNER), log }
    }

    /// Starts a runner under these circumstances.
    pub(crate) fn under(circumstances: Circumstances, server: &ControlPlane, data: &Path) -> Self {
        Self::under_with(circumstances, server, data, &[])
    }

    /// The same with further variables.
    pub(crate) fn under_with(
        circumstances: Circumstances,
        server: &ControlPlane,
        data: &Path,
        variables: &[(&str, &str)],
    ) -> Self {
        // Also for a user who is not the test's.
        std::fs::set_permissions(data, std::os::unix::fs::PermissionsExt::from_mode(0o777)).unwrap();
        Self::through(circumstances.starter(), server, data, variables)
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
        let found =
            processes::below(self.pid()).into_iter().find(|pid| processes::inner_id(*pid) == Some(inner));
        found.unwrap_or_else(|| panic!("no process of the job calls itself {inner}"))
    }

    /// The supervisor of the running job.
    #[track_caller]
    pub(crate) fn supervisor(&self) -> i32 {
        let mut supervisors = processes::with_argument("__supervise").into_iter();
        // The runner may have other children: Pythons that it asks for their versions.
        supervisors.find(|pid| processes::parent(*pid) == Some(self.pid())).unwrap()
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
