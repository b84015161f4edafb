//! Descriptors that must not travel.

use std::fs;
use std::io;
use std::os::fd::RawFd;

use nix::fcntl::{FcntlArg, FdFlag, fcntl};
use nix::libc;

/// Has every descriptor but the three streams closed at the next `execve`, whoever opened it: whoever started the
/// runner may have left some open, and a job must not get them.
#[expect(unsafe_code, reason = "close_range(2) has no safe wrapper; see below")]
pub(super) fn close_at_exec() -> io::Result<()> {
    // SAFETY: with this flag nothing is closed yet, only marked; no descriptor that Rust owns becomes invalid.
    let done = unsafe { libc::syscall(libc::SYS_close_range, 3_u32, u32::MAX, libc::CLOSE_RANGE_CLOEXEC) };
    if done == 0 {
        return Ok(());
    }
    // Linux before 5.11.
    for descriptor in open_ones()? {
        mark(descriptor);
    }
    Ok(())
}

/// Closes every descriptor but the three streams and `kept`, at once.
///
/// # Safety
///
/// The values that own the others must never be used or dropped again. That holds in a child of `clone` that neither returns nor
/// unwinds, of which this is the first act.
#[expect(unsafe_code, reason = "closing what other values own is unsafe; the caller answers for it")]
pub(super) unsafe fn close_all_but(kept: &[RawFd]) -> io::Result<()> {
    for descriptor in open_ones()? {
        if !kept.contains(&descriptor) {
            // SAFETY: the caller says that the owner is never used again.
            let _not_open = unsafe { libc::close(descriptor) };
        }
    }
    Ok(())
}

fn open_ones() -> io::Result<Vec<RawFd>> {
    let names = fs::read_dir("/proc/self/fd")?.map(|entry| entry.map(|entry| entry.file_name()));
    let names: Vec<_> = names.collect::<io::Result<_>>()?;
    Ok(names.iter().filter_map(|name| name.to_str()?.parse().ok()).filter(|number| *number > 2).collect())
}

#[expect(
    unsafe_code,
    reason = "the number is all that is known of a descriptor that somebody else left open"
)]
fn mark(descriptor: RawFd) {
    // SAFETY: borrowed for one call that closes nothing; if it was closed meanwhile, the call fails.
    let borrowed = unsafe { std::os::fd::BorrowedFd::borrow_raw(descriptor) };
    let _closed_meanwhile = fcntl(borrowed, FcntlArg::F_SETFD(FdFlag::FD_CLOEXEC));
}

#[cfg(test)]
mod tests {
    use std::os::fd::AsRawFd;
    use std::process::{Command, Stdio};

    use super::*;

    #[test]
    fn what_was_left_open_does_not_reach_a_program() {
        let file = fs::File::open("/etc/passwd").unwrap();
        fcntl(&file, FcntlArg::F_SETFD(FdFlag::empty())).unwrap();
        let ask = || {
            let script = format!("test -e /proc/self/fd/{}", file.as_raw_fd());
            Command::new("/bin/sh").arg("-c").arg(script).stdin(Stdio::null()).status().unwrap().success()
        };
        assert!(ask(), "the test sees a descriptor that travels");
        close_at_exec().unwrap();
        assert!(!ask());
    }
}
