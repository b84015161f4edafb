//! The supervisor: a small process between the runner and a job, and the runner's hold on it.
//!
//! It is the same binary, started with a hidden first argument. Being a child subreaper in a session of its own it
//! stays the ancestor of whatever the job starts. It knows the lease's deadline and kills everything below it with
//! SIGKILL when that passes or when the runner is gone, whatever state the runner is in.
//!
//! Four roles, in four processes: [`Supervised`] in the runner, `process` in the supervisor, `init` as the first process of the job's
//! PID namespace, and `launch`, which confines itself and then becomes the job. Where the kernel makes no namespaces the supervisor does
//! without `init`, and walks through `/proc` to end the job. No HTTP, no async but in [`Supervised`], and nothing about runs or
//! leases: a task is a program with a deadline.

mod cgroup;
mod confinement;
mod descendants;
mod descriptors;
mod devices;
mod handle;
mod init;
mod launch;
mod limits;
mod mounting;
mod mounts;
mod namespaces;
mod process;
mod protocol;
mod sandbox;
mod seccomp;
mod signals;
mod spawner;
mod strays;
mod waiting;

pub(crate) use cgroup::{Controllers, remove_leftovers as remove_leftover_cgroups};
pub(crate) use confinement::Confinement;
pub(crate) use descendants::{Marker, kill_marked};
pub(crate) use handle::{Supervised, SupervisorError};
pub use limits::{BadLimit, Limit, Limits};
pub(crate) use protocol::{Ended, Ending, Task};
pub(crate) use sandbox::Sandbox;

/// First argument of a supervisor.
const SUPERVISE: &str = "__supervise";
/// First argument of a process that is about to become a job.
const LAUNCH: &str = "__launch";
/// First argument of a process that finds out what this machine can do to confine jobs.
const PROBE: &str = "__probe";

/// Becomes a supervisor or a job when the arguments ask for it, and then does not return.
///
/// Must be the first line of `main` in every binary that runs the agent: before any thread exists.
pub fn supervise_if_asked() {
    let mut arguments = std::env::args_os().skip(1);
    let Some(first) = arguments.next() else { return };
    if first == SUPERVISE {
        process::main();
    }
    if first == LAUNCH {
        launch::main(arguments);
    }
    if first == PROBE {
        confinement::main();
    }
}
