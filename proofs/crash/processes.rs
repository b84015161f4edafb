//! The processes below a runner, and their violent ends.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::iter::once;

use minitower_tests::Program;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

/// Every process's parent; see `proc_pid_stat(5)`. The second field is a name that may hold anything.
fn parents() -> BTreeMap<i32, i32> {
    let mut parents = BTreeMap::new();
    for entry in fs::read_dir("/proc").unwrap().flatten() {
        let Some(pid) = entry.file_name().to_str().and_then(|name| name.parse::<i32>().ok()) else {
            continue;
        };
        // It may have ended meanwhile.
        let Ok(stat) = fs::read_to_string(entry.path().join("stat")) else { continue };
        let Some((_, rest)) = stat.rsplit_once(") ") else { continue };
        let mut fields = rest.split(' ');
        let state = fields.next().unwrap_or_default();
        if let (false, Some(Ok(parent))) = (state == "Z", fields.next().map(str::parse)) {
            parents.insert(pid, parent);
        }
    }
    parents
}

/// The living children of a process: a runner's are its supervisors.
pub(crate) fn children(of: Pid) -> Vec<Pid> {
    let parents = parents();
    parents.iter().filter(|(_, parent)| **parent == of.as_raw()).map(|(pid, _)| Pid::from_raw(*pid)).collect()
}

/// The living processes below another, itself not included.
pub(crate) fn below(root: Pid) -> Vec<Pid> {
    let parents = parents();
    let mut found = BTreeSet::new();
    let mut next = vec![root.as_raw()];
    while let Some(parent) = next.pop() {
        for (pid, _) in parents.iter().filter(|(_, its)| **its == parent) {
            if found.insert(*pid) {
                next.push(*pid);
            }
        }
    }
    found.into_iter().map(Pid::from_raw).collect()
}

/// The processes of a runner's jobs: all that is below its supervisors.
pub(crate) fn jobs(runner: Pid) -> Vec<Pid> {
    children(runner).into_iter().flat_map(below).collect()
}

/// Sends SIGKILL; the process may have ended meanwhile.
pub(crate) fn end(pid: Pid) {
    let _gone = kill(pid, Signal::SIGKILL);
}

/// Sends SIGSTOP; the process may have ended meanwhile.
pub(crate) fn stop(pid: Pid) {
    let _gone = kill(pid, Signal::SIGSTOP);
}

/// Lets a stopped process go on; it may have been killed meanwhile.
pub(crate) fn resume(pid: Pid) {
    let _gone = kill(pid, Signal::SIGCONT);
}

/// Kills a program and everything below it as the end of a container does: nothing of it gets to react.
pub(crate) fn kill_tree(program: &mut Program) {
    let mut stopped = BTreeSet::new();
    loop {
        let found = once(program.pid()).chain(below(program.pid()));
        let new: Vec<Pid> = found.filter(|pid| stopped.insert(*pid)).collect();
        if new.is_empty() {
            break;
        }
        for pid in new {
            let _gone = kill(pid, Signal::SIGSTOP);
        }
    }
    stopped.into_iter().for_each(end);
    program.kill();
}

/// Kills a runner and its supervisors at the same moment; what a job has started beside itself goes on.
pub(crate) fn kill_with_supervisors(program: &mut Program) {
    program.signal(Signal::SIGSTOP);
    children(program.pid()).into_iter().for_each(end);
    program.kill();
}
