//! How this machine can confine jobs: found out once, by trying.

use std::fmt;
use std::io;
use std::process::Stdio;
use std::time::Duration;

use nix::sys::wait::{WaitStatus, waitpid};
use serde::{Deserialize, Serialize};

use super::mounts;
use super::namespaces::{Namespaces, needs_user_namespace, spawn};
use super::sandbox::{self, Sandbox};
use super::{PROBE, seccomp};

/// How long finding out may take.
const ANSWER_WITHIN: Duration = Duration::from_secs(30);

/// The means by which a job is confined.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Confinement {
    /// What is its own.
    pub(crate) namespaces: Namespaces,
    /// These lie in a user namespace, in which its processes are counted apart from all others of its user.
    pub(crate) own_users: bool,
    /// Files are closed to it by Landlock.
    pub(crate) landlock: bool,
    /// System calls are closed to it by seccomp.
    pub(crate) seccomp: bool,
}

impl Confinement {
    /// A job may do whatever its user may.
    pub(crate) const NONE: Self =
        Self { namespaces: Namespaces::None, own_users: false, landlock: false, seccomp: false };

    /// Asks this machine. A process of its own does the trying, since there is no way back from most of it.
    pub(crate) async fn of_this_machine() -> io::Result<Self> {
        let answer = tokio::process::Command::new("/proc/self/exe")
            .arg0("minitower-runner")
            .arg(PROBE)
            .env_clear()
            .stdin(Stdio::null())
            .stderr(Stdio::null())
            .kill_on_drop(true)
            .output();
        let answer = tokio::time::timeout(ANSWER_WITHIN, answer).await.map_err(io::Error::other)??;
        serde_json::from_slice(&answer.stdout).map_err(io::Error::from)
    }

    /// What this machine lacks that a runner needs to take every team's runs. `None` if it lacks nothing.
    pub(crate) fn lacks(self) -> Option<&'static str> {
        match (self.landlock, self.seccomp) {
            (true, true) => None,
            (false, true) => {
                Some("Landlock (Linux 5.13 or newer, with `landlock` among the kernel's `lsm=`)")
            }
            (true, false) => Some("seccomp filters (CONFIG_SECCOMP_FILTER)"),
            (false, false) => Some("Landlock and seccomp filters (Linux 5.13 or newer)"),
        }
    }

    /// Whether jobs cannot change what is not theirs: neither write into it, which Landlock sees to, nor take its rights away
    /// or change its times, which Landlock does not know and only a mount namespace, where it is out of sight, keeps from them.
    pub(crate) fn closes_files(self) -> bool {
        self.landlock && self.own_files()
    }

    /// Whether each job has its own view of the file system, `/tmp` and `/dev/shm` included.
    pub(crate) fn own_files(self) -> bool {
        self.namespaces != Namespaces::None
    }
}

impl fmt::Display for Confinement {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let namespaces = match self.namespaces {
            Namespaces::None => "no namespaces",
            Namespaces::Files => "mount and IPC namespaces",
            Namespaces::Processes => "PID, mount and IPC namespaces",
        };
        let landlock = if self.landlock { "Landlock" } else { "no Landlock" };
        let seccomp = if self.seccomp { "seccomp" } else { "no seccomp" };
        write!(f, "{namespaces}, {landlock}, {seccomp}")
    }
}

/// Tries everything, says what worked, and exits.
pub(super) fn main() -> ! {
    let levels = [Namespaces::Processes, Namespaces::Files];
    let namespaces = levels.into_iter().find(|level| can_be_made(*level)).unwrap_or(Namespaces::None);
    let own_users = namespaces != Namespaces::None && needs_user_namespace();
    let landlock = sandbox::is_enforced();
    // The last act: it also holds for this process.
    let seccomp = nix::sys::prctl::set_no_new_privs().is_ok() && seccomp::enforce(true).is_ok();
    let found = Confinement { namespaces, own_users, landlock, seccomp };
    let said = serde_json::to_string(&found).map(|text| println!("{text}"));
    std::process::exit(i32::from(said.is_err()))
}

/// Makes them, with the mounts that every job gets.
#[expect(unsafe_code, reason = "a copy of this process runs ordinary code; see below")]
fn can_be_made(namespaces: Namespaces) -> bool {
    let Ok((go, ready)) = io::pipe() else { return false };
    let mut ready = Some(ready);
    let child = || -> isize {
        // What the parent closes below only ends here when this copy of it is closed, too.
        drop(ready.take());
        let mut byte = [0];
        let waited = io::Read::read(&mut &go, &mut byte);
        let arranged = mounts::arrange(&Sandbox::default(), namespaces == Namespaces::Processes);
        std::process::exit(i32::from(waited.is_err() || arranged.is_err()))
    };
    // SAFETY: this program has one thread.
    let Ok(pid) = (unsafe { spawn(namespaces, child) }) else { return false };
    drop(ready.take());
    matches!(waitpid(pid, None), Ok(WaitStatus::Exited(_, 0)))
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    #[rstest]
    #[case(Namespaces::Processes, true, true)]
    #[case(Namespaces::Files, true, true)]
    #[case(Namespaces::None, true, false)]
    #[case(Namespaces::Files, false, false)]
    #[case(Namespaces::None, false, false)]
    fn modes_are_open_without_a_mount_namespace(
        #[case] namespaces: Namespaces,
        #[case] landlock: bool,
        #[case] closed: bool,
    ) {
        let confinement = Confinement { namespaces, landlock, ..Confinement::NONE };
        assert_eq!(confinement.closes_files(), closed);
    }
}
