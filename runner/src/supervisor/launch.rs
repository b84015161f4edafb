//! The last step before a job: the process confines itself, then becomes the job's program.
//!
//! A process of its own instead of code between fork and exec, so that all of it is ordinary safe Rust.

use std::convert::Infallible;
use std::ffi::OsString;
use std::fs;
use std::os::unix::process::CommandExt;
use std::path::PathBuf;
use std::process::Command;

use caps::{CapSet, Capability};
use nix::sys::prctl;
use nix::sys::resource::{Resource, setrlimit};
use nix::sys::signal::{SigHandler, SigSet, Signal};
use nix::sys::stat::{Mode, umask};
use nix::unistd::{getppid, setsid};
use serde::{Deserialize, Serialize};

use super::sandbox::{Sandbox, SandboxError};

/// Memory pressure ends the job before the runner; see `proc_pid_oom_score_adj(5)`.
const OOM_SCORE_ADJ: &str = "1000";
/// What a job started by root may still do: what container engines leave to root by default. The rest would let it
/// read the runner's memory and environment past Landlock, or change the machine.
const KEPT_CAPABILITIES: [Capability; 12] = [
    Capability::CAP_AUDIT_WRITE,
    Capability::CAP_CHOWN,
    Capability::CAP_DAC_OVERRIDE,
    Capability::CAP_FOWNER,
    Capability::CAP_FSETID,
    Capability::CAP_KILL,
    Capability::CAP_NET_BIND_SERVICE,
    Capability::CAP_NET_RAW,
    Capability::CAP_SETFCAP,
    Capability::CAP_SETGID,
    Capability::CAP_SETUID,
    Capability::CAP_SYS_CHROOT,
];
/// What shells answer for a program that cannot be executed.
const CANNOT_EXECUTE: i32 = 126;

/// What the process needs to know.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Launch {
    /// Process id of the supervisor.
    pub(super) supervisor: i32,
    /// What the job may read and write.
    pub(super) sandbox: Sandbox,
    /// The control group's file to join through.
    pub(super) cgroup: Option<PathBuf>,
}

#[derive(Debug, thiserror::Error)]
enum LaunchError {
    #[error("the supervisor's call is incomplete")]
    Arguments,
    #[error("the supervisor's call cannot be read: {0}")]
    Unreadable(#[from] serde_json::Error),
    #[error("the supervisor is gone")]
    Orphaned,
    #[error(transparent)]
    System(#[from] nix::Error),
    #[error(transparent)]
    Sandbox(#[from] SandboxError),
    #[error("cannot start {program}: {source}")]
    Execute { program: String, source: std::io::Error },
}

/// Becomes the job, or exits with a line on the job's standard error.
pub(super) fn main(arguments: impl Iterator<Item = OsString>) -> ! {
    let Err(error) = launch(arguments);
    eprintln!("minitower-runner: {error}");
    std::process::exit(CANNOT_EXECUTE)
}

fn launch(mut arguments: impl Iterator<Item = OsString>) -> Result<Infallible, LaunchError> {
    let launch = arguments.next().ok_or(LaunchError::Arguments)?;
    let program = arguments.next().ok_or(LaunchError::Arguments)?;
    let launch: Launch = serde_json::from_slice(launch.as_encoded_bytes())?;

    prctl::set_pdeathsig(Signal::SIGKILL)?;
    if getppid().as_raw() != launch.supervisor {
        return Err(LaunchError::Orphaned);
    }
    setsid()?;
    // The supervisor blocks signals that a job must get, and whoever started the runner may ignore some (a shell does,
    // for what runs in the background).
    SigSet::empty().thread_set_mask()?;
    stop_ignoring_signals();
    umask(Mode::from_bits_truncate(0o022));
    // A job's memory is not the runner's to keep.
    let _hard_limit_is_lower = setrlimit(Resource::RLIMIT_CORE, 0, 0);
    // Both are best effort: without them the walk through /proc and the container's limits do their work.
    let _no_proc = fs::write("/proc/self/oom_score_adj", OOM_SCORE_ADJ);
    if let Some(door) = &launch.cgroup {
        let _not_allowed = fs::write(door, "0");
    }
    drop_capabilities();
    prctl::set_no_new_privs()?;
    launch.sandbox.enforce()?;

    let source = Command::new(&program).args(arguments).exec();
    Err(LaunchError::Execute { program: program.to_string_lossy().into_owned(), source })
}

/// Gives every signal its default action: one that is ignored would stay so in the job (`execve(2)`).
#[expect(unsafe_code, reason = "changing a signal's action is unsafe in general; see below for this one")]
fn stop_ignoring_signals() {
    for signal in Signal::iterator() {
        // SAFETY: the default action installs no handler, so no code of ours can run in a signal's context.
        let _kill_and_stop_have_no_other = unsafe { nix::sys::signal::signal(signal, SigHandler::SigDfl) };
    }
}

/// Bounds what the program may do once it is executed; whoever is not root has none of these to begin with.
fn drop_capabilities() {
    for set in [CapSet::Ambient, CapSet::Inheritable] {
        let _had_none = caps::clear(None, set);
    }
    for capability in caps::all() {
        if !KEPT_CAPABILITIES.contains(&capability) {
            let _not_root = caps::drop(None, CapSet::Bounding, capability);
        }
    }
}
