//! Making a process in namespaces of its own (namespaces(7)).

use std::fmt::Write as _;
use std::fs;
use std::io;

use caps::{CapSet, Capability};
use nix::libc;
use nix::sched::{CloneFlags, clone};
use nix::sys::prctl;
use nix::unistd::{Pid, getegid, geteuid};
use serde::{Deserialize, Serialize};

/// What of a job's world is its own. Each level has what those before it have.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub(crate) enum Namespaces {
    /// Nothing.
    None,
    /// Files and shared memory: a mount and an IPC namespace.
    Files,
    /// Processes: a PID namespace. It ends with its first process, at once and with all there is in it.
    Processes,
}

/// Memory for the stack of a new process; pages of it are taken as they are used.
const STACK_BYTES: usize = 1024 * 1024;

/// Whether the caller needs a user namespace to make others. Root does not, and does without: in one it could neither give files to
/// other users of the machine nor use ports below 1024, which jobs of root's (package managers, web servers) count on. Its rights
/// are bounded in another way: see `launch`.
pub(super) fn needs_user_namespace() -> bool {
    !caps::has_cap(None, CapSet::Effective, Capability::CAP_SYS_ADMIN).unwrap_or(false)
}

/// Starts a process that runs `child` in namespaces of its own; `child` must wait for the go before it does anything that needs its
/// user's id, and must not return.
///
/// # Safety
///
/// As for `fork(2)`: the caller must be the only thread of its process.
#[expect(unsafe_code, reason = "a copy of this process runs ordinary code; see below")]
pub(super) unsafe fn spawn(namespaces: Namespaces, child: impl FnMut() -> isize) -> io::Result<Pid> {
    let mut flags = match namespaces {
        Namespaces::None => return Err(io::ErrorKind::InvalidInput.into()),
        Namespaces::Files => CloneFlags::CLONE_NEWNS | CloneFlags::CLONE_NEWIPC,
        Namespaces::Processes => {
            CloneFlags::CLONE_NEWNS | CloneFlags::CLONE_NEWIPC | CloneFlags::CLONE_NEWPID
        }
    };
    let user = needs_user_namespace();
    if user {
        flags |= CloneFlags::CLONE_NEWUSER;
        // The files in /proc by which its ids are mapped belong to root otherwise.
        prctl::set_dumpable(true)?;
    }
    let mut stack = vec![0; STACK_BYTES];
    // SAFETY: without CLONE_VM the child works on a copy of this process's memory, stack included; the caller says that there is no other
    // thread that could hold a lock in it.
    let child = unsafe { clone(Box::new(child), &mut stack, flags, Some(libc::SIGCHLD)) };
    let mapped = match child {
        Ok(child) if user => map_ids(child),
        _ => Ok(()),
    };
    if user {
        prctl::set_dumpable(false)?;
    }
    let child = child?;
    if let Err(error) = mapped {
        let _ended = nix::sys::signal::kill(child, nix::sys::signal::Signal::SIGKILL);
        return Err(error);
    }
    Ok(child)
}

/// Gives the process the ids that it has here: all of them where the caller may (root of a container), else the caller's own alone.
fn map_ids(child: Pid) -> io::Result<()> {
    let file = |name: &str| format!("/proc/{child}/{name}");
    let all = |own: &str| fs::read_to_string(own).map(|map| identity(&map));
    if geteuid().is_root()
        && let (Ok(users), Ok(groups)) = (all("/proc/self/uid_map"), all("/proc/self/gid_map"))
        && fs::write(file("uid_map"), users).is_ok()
    {
        return fs::write(file("gid_map"), groups);
    }
    let (user, group) = (geteuid(), getegid());
    fs::write(file("uid_map"), format!("{user} {user} 1\n"))?;
    // Else a process could drop a group, and with it a "no" of files that are closed to that group.
    fs::write(file("setgroups"), "deny")?;
    fs::write(file("gid_map"), format!("{group} {group} 1\n"))
}

/// Maps every id that is known here to itself; see `user_namespaces(7)`.
fn identity(map: &str) -> String {
    let mut text = String::new();
    for line in map.lines() {
        let mut fields = line.split_ascii_whitespace();
        if let (Some(inside), _, Some(count)) = (fields.next(), fields.next(), fields.next()) {
            let _never_fails = writeln!(text, "{inside} {inside} {count}");
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_are_mapped_to_themselves() {
        assert_eq!(identity("         0          0 4294967295\n"), "0 0 4294967295\n");
        assert_eq!(identity("0 100000 1000\n1000 5 1\n"), "0 0 1000\n1000 1000 1\n");
    }
}
