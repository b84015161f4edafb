//! How a supervisor and the first process of a PID namespace wait: for signals, for words, and for the end of children.

use std::io;
use std::os::fd::BorrowedFd;

use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::signal::{SigSet, Signal};
use nix::sys::wait::{WaitPidFlag, WaitStatus, waitpid};
use nix::unistd::Pid;

use super::protocol::Ending;

/// Signals that are blocked, not ignored: the process reads them in a loop, and only its parent ends it.
pub(super) fn signals() -> SigSet {
    [Signal::SIGCHLD, Signal::SIGTERM, Signal::SIGINT, Signal::SIGHUP, Signal::SIGQUIT].into_iter().collect()
}

/// Which of the descriptors have something to read, or were closed.
pub(super) fn wait<const N: usize>(
    descriptors: [BorrowedFd<'_>; N],
    timeout: PollTimeout,
) -> io::Result<[bool; N]> {
    let mut polled = descriptors.map(|descriptor| PollFd::new(descriptor, PollFlags::POLLIN));
    match poll(&mut polled, timeout) {
        Ok(_) => Ok(polled.map(|descriptor| descriptor.any().unwrap_or(true))),
        Err(Errno::EINTR) => Ok([false; N]),
        Err(error) => Err(error.into()),
    }
}

/// Collects the children that have ended. Says how `main` ended, if it is among them, and whether no child is left.
pub(super) fn reap(main: Pid) -> io::Result<(Option<Ending>, bool)> {
    let mut of_main = None;
    loop {
        let (pid, ending) = match waitpid(None, Some(WaitPidFlag::WNOHANG)) {
            Ok(WaitStatus::Exited(pid, code)) => (pid, Ending::Code(code)),
            Ok(WaitStatus::Signaled(pid, signal, _)) => (pid, Ending::Signal(signal as i32)),
            Ok(WaitStatus::StillAlive) => return Ok((of_main, false)),
            Err(Errno::ECHILD) => return Ok((of_main, true)),
            Ok(_) | Err(Errno::EINTR) => continue,
            Err(error) => return Err(error.into()),
        };
        if pid == main {
            of_main = Some(ending);
        }
    }
}
