//! The processes that a lost supervisor leaves become children of the runner, which is a child subreaper, too.

use std::collections::BTreeSet;
use std::io;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use nix::sys::wait::{WaitPidFlag, waitpid};
use nix::unistd::{Pid, getsid};
use tokio::process::Child;

use super::descendants::{kill_all, living_among, process, processes};

/// How long to go on killing before the remaining processes count as stuck inside the kernel.
const KILL_WITHIN: Duration = Duration::from_secs(10);
/// Pause between two rounds.
const PAUSE: Duration = Duration::from_millis(2);

/// The supervisors of this process that are at work.
static SUPERVISORS: Mutex<BTreeSet<i32>> = Mutex::new(BTreeSet::new());

fn supervisors() -> MutexGuard<'static, BTreeSet<i32>> {
    SUPERVISORS.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Starts a supervisor that is no stray until it is [forgotten](forget).
pub(super) fn know(start: impl FnOnce() -> io::Result<Child>) -> io::Result<Child> {
    // Held until it is known: nobody looks for strays in between.
    let mut known = supervisors();
    let child = start()?;
    known.extend(child.id().and_then(|pid| i32::try_from(pid).ok()));
    Ok(child)
}

/// A supervisor has ended, or has to.
pub(super) fn forget(pid: i32) {
    supervisors().remove(&pid);
}

/// Kills every child of this process that it has not started itself, and all that is below it, until none is left. Such a child has
/// come from a supervisor that is no more: it is in another session, which no process can go back from.
pub(super) fn kill_all_strays() -> io::Result<()> {
    let own_session = getsid(None)?.as_raw();
    let me = Pid::this().as_raw();
    let until = Instant::now() + KILL_WITHIN;
    loop {
        let looked = look(me, own_session);
        match looked {
            Ok(0) => return Ok(()),
            Ok(left) if Instant::now() >= until => {
                return Err(io::Error::other(format!("{left} processes are stuck inside the kernel")));
            }
            Err(error) if Instant::now() >= until => return Err(error),
            Ok(_) | Err(_) => std::thread::sleep(PAUSE),
        }
    }
}

/// One round; yields how many strays there were.
fn look(me: i32, own_session: i32) -> io::Result<usize> {
    let known = supervisors();
    let all = processes()?;
    let strays: Vec<i32> = all
        .iter()
        .filter(|(pid, stat)| stat.parent == me && stat.session != own_session && !known.contains(pid))
        .map(|(pid, _)| *pid)
        .collect();
    drop(known);
    for pid in strays.iter().copied().map(Pid::from_raw) {
        let mut tree = living_among(&all, pid);
        tree.extend(process(&all, pid));
        kill_all(&tree);
        // The first process of a PID namespace is only collected when nothing of it is left.
        let _not_yet = waitpid(pid, Some(WaitPidFlag::WNOHANG));
    }
    Ok(strays.len())
}
