//! The files that a process may have open.

use std::io;

use nix::errno::Errno;

/// Whether a file was not opened because this process, or the machine, has as many open as it may have. That says nothing of the disk, and
/// passes.
pub(crate) fn used_up(error: &io::Error) -> bool {
    let met = error.raw_os_error().map(Errno::from_raw);
    matches!(met, Some(Errno::EMFILE | Errno::ENFILE))
}

/// What a try of the disk says of it: nothing, where no file could be opened.
pub(crate) fn unless_used_up(tried: io::Result<()>) -> io::Result<()> {
    tried.or_else(|error| if used_up(&error) { Ok(()) } else { Err(error) })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_process_without_files_says_nothing_of_the_disk() {
        let tried = |errno: Errno| unless_used_up(Err(io::Error::from(errno))).is_ok();
        assert!(tried(Errno::EMFILE) && tried(Errno::ENFILE));
        assert!(!tried(Errno::EIO) && !tried(Errno::ENOENT));
        assert!(!used_up(&io::Error::other("no number")));
    }
}
