//! Finding every process of a job, and killing them.

use std::collections::{BTreeSet, HashMap, HashSet};
use std::fs;
use std::io;
use std::path::PathBuf;

use nix::errno::Errno;
use nix::sys::signal::{Signal, kill, killpg};
use nix::sys::wait::{WaitPidFlag, waitpid};
use nix::unistd::{Pid, getpgrp};

/// How processes of a runner's jobs are known by their environment, wherever they went.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Marker {
    /// The runner's folder of workspaces. Attempt ids are unique per control plane only, and a machine may hold
    /// runners of several.
    pub(crate) work: PathBuf,
}

impl Marker {
    fn matches(&self, environment: &[u8]) -> bool {
        let work = format!("MINITOWER_OUTPUT_FILE={}/", self.work.display());
        environment.split(|byte| *byte == 0).any(|variable| variable.starts_with(work.as_bytes()))
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Stat {
    pub(super) parent: i32,
    group: i32,
    pub(super) session: i32,
    /// Ended in all its threads, only not yet collected.
    dead: bool,
}

/// Reads `/proc/PID/stat`; see `proc_pid_stat(5)`. The second field is a name that may hold anything.
fn parse_stat(text: &str) -> Option<Stat> {
    let (_, rest) = text.rsplit_once(')')?;
    let mut fields = rest.split_ascii_whitespace();
    let state = fields.next()?;
    let parent = fields.next()?.parse().ok()?;
    let group = fields.next()?.parse().ok()?;
    let session = fields.next()?.parse().ok()?;
    let threads: i32 = fields.nth(13)?.parse().ok()?;
    // A main thread that ended before the others shows as a zombie although the process lives.
    Some(Stat { parent, group, session, dead: matches!(state, "Z" | "X") && threads <= 1 })
}

/// Every process there is. That it cannot be read is a failure, not an empty machine.
pub(super) fn processes() -> io::Result<HashMap<i32, Stat>> {
    let mut found = HashMap::new();
    for entry in fs::read_dir("/proc")? {
        let Some(pid) = entry?.file_name().to_str().and_then(|name| name.parse().ok()) else { continue };
        match fs::read_to_string(format!("/proc/{pid}/stat")) {
            Ok(text) => found.extend(parse_stat(&text).map(|stat| (pid, stat))),
            Err(error) if has_ended(&error) => {}
            Err(error) => return Err(error),
        }
    }
    Ok(found)
}

/// Whether a file in `/proc` could not be read because its process has ended meanwhile.
fn has_ended(error: &io::Error) -> bool {
    error.kind() == io::ErrorKind::NotFound || error.raw_os_error() == Some(Errno::ESRCH as i32)
}

/// A process and the process group it was in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Process {
    pid: Pid,
    group: i32,
}

/// One of the living processes of a picture.
pub(super) fn process(processes: &HashMap<i32, Stat>, pid: Pid) -> Option<Process> {
    let stat = processes.get(&pid.as_raw()).filter(|stat| !stat.dead)?;
    Some(Process { pid, group: stat.group })
}

/// The living processes below `root`, itself not included.
pub(super) fn living_below(root: Pid) -> io::Result<Vec<Process>> {
    Ok(living_among(&processes()?, root))
}

/// The same, in a picture that was taken before.
pub(super) fn living_among(processes: &HashMap<i32, Stat>, root: Pid) -> Vec<Process> {
    let below = |pid: i32| {
        let mut current = pid;
        // Bounded: the picture was not taken at one moment and could hold a circle.
        for _ in 0..processes.len() {
            match processes.get(&current) {
                Some(stat) if stat.parent == root.as_raw() => return true,
                Some(stat) => current = stat.parent,
                None => return false,
            }
        }
        false
    };
    processes
        .iter()
        .filter(|(pid, stat)| !stat.dead && below(**pid))
        .map(|(pid, stat)| Process { pid: Pid::from_raw(*pid), group: stat.group })
        .collect()
}

/// Kills the caller's children again and again until there are none, as long as that makes headway.
///
/// Orphans of a job become its supervisor's children at once. A process that lives only long enough to fork is gone
/// before a walk through all of `/proc` comes back to it; this list is read within microseconds. Needs
/// `CONFIG_PROC_CHILDREN`, which distributions set; without it nothing happens.
pub(super) fn kill_children(rounds: usize) {
    let list = format!("/proc/self/task/{}/children", Pid::this());
    for _ in 0..rounds {
        let children = fs::read_to_string(&list).unwrap_or_default();
        let mut any = false;
        for pid in children.split_ascii_whitespace().filter_map(|pid| pid.parse().ok()) {
            any |= kill(Pid::from_raw(pid), Signal::SIGKILL).is_ok();
        }
        if !any {
            return;
        }
    }
}

/// The living processes that carry the marker, the caller not included.
fn living_marked(marker: &Marker) -> io::Result<Vec<Process>> {
    let me = Pid::this();
    let marked = processes()?
        .into_iter()
        .filter(|(_, stat)| !stat.dead)
        .map(|(pid, stat)| Process { pid: Pid::from_raw(pid), group: stat.group })
        .filter(|Process { pid, .. }| {
            *pid != me
                && fs::read(format!("/proc/{pid}/environ"))
                    .is_ok_and(|environment| marker.matches(&environment))
        })
        .collect();
    Ok(marked)
}

/// Asks each to end.
pub(super) fn terminate(processes: &[Process]) {
    for process in processes {
        // It may have ended meanwhile.
        let _gone = kill(process.pid, Signal::SIGTERM);
    }
}

/// Kills each, and at the same moment everything in its process group: what forks meanwhile has either done so and is
/// in the group, or does not get to.
pub(super) fn kill_all(processes: &[Process]) {
    let own = getpgrp().as_raw();
    let groups: BTreeSet<i32> = processes
        .iter()
        .map(|process| process.group)
        // 0 and 1 mean something else to kill(2). A job cannot be in our group: it has a session of its own.
        .filter(|group| *group > 1 && *group != own)
        .collect();
    for group in groups {
        let _gone = killpg(Pid::from_raw(group), Signal::SIGKILL);
    }
    for process in processes {
        let _gone = kill(process.pid, Signal::SIGKILL);
    }
}

/// Kills every process that carries the marker, and whatever is below it. Returns how many there were.
///
/// For what a former runner left. Gives up after `rounds` rounds, when processes are stuck inside the kernel.
pub(crate) fn kill_marked(marker: &Marker, rounds: usize) -> io::Result<usize> {
    let mut killed = HashSet::new();
    for _ in 0..rounds {
        let found = living_marked(marker)?;
        if found.is_empty() {
            break;
        }
        let all = processes()?;
        let below: Vec<Process> = found.iter().flat_map(|process| living_among(&all, process.pid)).collect();
        kill_all(&found);
        kill_all(&below);
        for process in found.iter().chain(&below) {
            killed.insert(process.pid);
            // Ours when we are the first process of a container; else nothing happens.
            let _not_our_child = waitpid(process.pid, Some(WaitPidFlag::WNOHANG));
        }
        std::thread::yield_now();
    }
    Ok(killed.len())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stat_is_read_whatever_the_name() {
        let tail = "S 7 8 7 0 -1 4194304 1 0 0 0 0 0 0 0 20 0 1 0 100 0 0";
        for name in ["sh", "a) Z 1", "x (y", "new\nline"] {
            let stat = parse_stat(&format!("9 ({name}) {tail}")).unwrap();
            assert_eq!(stat, Stat { parent: 7, group: 8, session: 7, dead: false }, "{name}");
        }
    }

    #[test]
    fn a_zombie_with_living_threads_is_alive() {
        let stat = |threads| format!("9 (x) Z 7 7 7 0 -1 0 1 0 0 0 0 0 0 0 20 0 {threads} 0 100 0 0");
        assert!(!parse_stat(&stat(2)).unwrap().dead);
        assert!(parse_stat(&stat(1)).unwrap().dead);
    }

    #[test]
    fn a_marker_is_known_by_the_folder_of_workspaces() {
        let marker = Marker { work: "/d/work".into() };
        assert!(marker.matches(b"A=1\0MINITOWER_OUTPUT_FILE=/d/work/4/output\0"));
        assert!(!marker.matches(b"MINITOWER_OUTPUT_FILE=/e/work/4/output\0"));
        assert!(!marker.matches(b"MINITOWER_OUTPUT_FILE=/d/work\0"));
        assert!(!marker.matches(b"MINITOWER_ATTEMPT=4\0"));
    }
}
