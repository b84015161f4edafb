//! The last step before a job: the process confines itself, then becomes the job's program.
//!
//! A process of its own instead of code between fork and exec, so that all of it is ordinary safe Rust.

use std::convert::Infallible;
use std::ffi::OsString;
use std::fs;
use std::io;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Command, Stdio};

use caps::{CapSet, Capability};
use minitower_daemon::errors::chain;
use nix::sys::prctl;
use nix::sys::signal::{SigHandler, SigSet, Signal};
use nix::sys::stat::{Mode, umask};
use nix::unistd::{Pid, dup2_stderr, dup2_stdout, getppid, setsid};
use serde::{Deserialize, Serialize};

use super::LAUNCH;
use super::confinement::Confinement;
use super::descriptors::close_at_exec;
use super::limits::Limits;
use super::mounting::TEMPORARY;
use super::namespaces::Namespaces;
use super::protocol::Task;
use super::sandbox::{Sandbox, SandboxError};
use super::seccomp::{self, SeccompError};

/// Memory pressure ends the job before the runner; see `proc_pid_oom_score_adj(5)`.
const OOM_SCORE_ADJ: &str = "1000";
/// What a job started by root may still do: what container engines leave to root by default, less raw sockets, which hear what
/// others say to each other on the machine. The rest would let it read the runner's memory and environment past Landlock, or change
/// the machine.
const KEPT_CAPABILITIES: [Capability; 11] = [
    Capability::CAP_AUDIT_WRITE,
    Capability::CAP_CHOWN,
    Capability::CAP_DAC_OVERRIDE,
    Capability::CAP_FOWNER,
    Capability::CAP_FSETID,
    Capability::CAP_KILL,
    Capability::CAP_NET_BIND_SERVICE,
    Capability::CAP_SETFCAP,
    Capability::CAP_SETGID,
    Capability::CAP_SETUID,
    Capability::CAP_SYS_CHROOT,
];
/// The exit code that shells use for a program that cannot be executed.
const CANNOT_EXECUTE: i32 = 126;

/// What the process needs to know.
#[derive(Debug, Serialize, Deserialize)]
struct Launch {
    /// Process id of its parent, the supervisor or the first process of its PID namespace.
    parent: i32,
    /// What the job may read and write.
    sandbox: Sandbox,
    /// By what it is confined.
    confinement: Confinement,
    /// What it may take.
    limits: Limits,
}

/// What starts the process, as a child of `parent`.
pub(super) fn command(task: &Task, parent: Pid) -> io::Result<Command> {
    let launch = Launch {
        parent: parent.as_raw(),
        sandbox: task.sandbox.clone(),
        confinement: task.confinement,
        limits: task.limits,
    };
    // In a view of its own the job's temporary folder is /tmp, the shortest path that there is.
    let temporary = task.sandbox.temporary.as_deref().and_then(Path::to_str);
    let temporary = temporary.filter(|_| task.confinement.namespaces != Namespaces::None);
    let value = |value: &String| {
        let renamed = temporary == Some(value) && Path::new(TEMPORARY).is_dir();
        if renamed { TEMPORARY.to_owned() } else { value.clone() }
    };
    // The link names this very binary even after it was replaced on disk.
    let mut command = Command::new("/proc/self/exe");
    command
        .arg0("minitower-runner")
        .arg(LAUNCH)
        .arg(serde_json::to_string(&launch)?)
        .arg(&task.program)
        .args(&task.arguments)
        .env_clear()
        .envs(task.environment.iter().map(|(key, text)| (key, value(text))))
        .current_dir(&task.directory)
        .stdin(Stdio::null());
    Ok(command)
}

/// Starts it. Afterwards the caller no longer holds the job's streams: these end with the job, not with whoever looks after it.
pub(super) fn spawn(task: &Task, parent: Pid) -> io::Result<Pid> {
    let child = command(task, parent)?.spawn()?;
    let null = fs::OpenOptions::new().write(true).open("/dev/null")?;
    dup2_stdout(&null)?;
    dup2_stderr(&null)?;
    i32::try_from(child.id()).map(Pid::from_raw).map_err(io::Error::other)
}

#[derive(Debug, thiserror::Error)]
enum LaunchError {
    #[error("the supervisor's call is incomplete")]
    Arguments,
    #[error("the supervisor's call cannot be read")]
    Unreadable(#[from] serde_json::Error),
    #[error("the supervisor is gone")]
    Orphaned,
    #[error(transparent)]
    System(#[from] nix::Error),
    #[error(transparent)]
    Sandbox(#[from] SandboxError),
    #[error(transparent)]
    Seccomp(#[from] SeccompError),
    #[error("cannot close what is not the job's")]
    Descriptors(#[from] io::Error),
    #[error("cannot start {program}")]
    Execute { program: String, source: std::io::Error },
}

/// Becomes the job, or exits with a line on the job's standard error.
pub(super) fn main(arguments: impl Iterator<Item = OsString>) -> ! {
    let Err(error) = launch(arguments);
    eprintln!("minitower-runner: {}", chain(&error));
    std::process::exit(CANNOT_EXECUTE)
}

fn launch(mut arguments: impl Iterator<Item = OsString>) -> Result<Infallible, LaunchError> {
    let launch = arguments.next().ok_or(LaunchError::Arguments)?;
    let program = arguments.next().ok_or(LaunchError::Arguments)?;
    let launch: Launch = serde_json::from_slice(launch.as_encoded_bytes())?;

    prctl::set_pdeathsig(Signal::SIGKILL)?;
    if getppid().as_raw() != launch.parent {
        return Err(LaunchError::Orphaned);
    }
    setsid()?;
    // The supervisor blocks signals that a job must get, and whoever started the runner may ignore some (a shell does,
    // for what runs in the background).
    SigSet::empty().thread_set_mask()?;
    stop_ignoring_signals();
    umask(Mode::from_bits_truncate(0o022));
    // Best effort: without it the container's limits do their work.
    let _no_proc = fs::write("/proc/self/oom_score_adj", OOM_SCORE_ADJ);
    let confinement = launch.confinement;
    launch.limits.enforce(confinement.own_users)?;
    close_at_exec()?;
    drop_capabilities();
    prctl::set_no_new_privs()?;
    if confinement.landlock {
        launch.sandbox.enforce(confinement.namespaces != Namespaces::None)?;
    }
    if confinement.seccomp {
        // Last, because the steps above need calls that it refuses.
        seccomp::enforce(confinement.namespaces == Namespaces::Processes)?;
    }

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
