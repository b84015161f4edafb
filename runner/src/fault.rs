//! Faults of the runner's own: its folder, its disk, its descriptors. They are never the job's failure.

use std::io;

use nix::errno::Errno;

/// The runner cannot carry a run out, whatever run it is.
#[derive(Debug, thiserror::Error)]
#[error("cannot {action}")]
pub(crate) struct OwnFault {
    /// What the runner wanted to do.
    action: &'static str,
    source: io::Error,
}

impl OwnFault {
    /// `action` completes "cannot …".
    pub(crate) fn new(action: &'static str, source: io::Error) -> Self {
        Self { action, source }
    }

    /// Whether its disk is full, or its share of it.
    pub(crate) fn is_full_disk(&self) -> bool {
        is_full_disk(&self.source)
    }
}

/// Whether an error says that the disk is full, or its user's share of it.
fn is_full_disk(error: &io::Error) -> bool {
    matches!(errno(error), Some(Errno::ENOSPC | Errno::EDQUOT))
}

/// Whether an error of an operation on the runner's own files has its cause in the machine, and not in what a run brought.
pub(crate) fn is_own(error: &io::Error) -> bool {
    let own =
        [Errno::ENOSPC, Errno::EDQUOT, Errno::EROFS, Errno::EMFILE, Errno::ENFILE, Errno::EIO, Errno::ENOMEM];
    errno(error).is_some_and(|errno| own.contains(&errno))
}

/// Whether rights are missing. Of what is the runner's alone, that is its own fault too.
pub(crate) fn is_denied(error: &io::Error) -> bool {
    matches!(errno(error), Some(Errno::EACCES | Errno::EPERM))
}

fn errno(error: &io::Error) -> Option<Errno> {
    error.raw_os_error().map(Errno::from_raw)
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    #[rstest]
    #[case(Errno::ENOSPC, true, true)]
    #[case(Errno::EDQUOT, true, true)]
    #[case(Errno::EROFS, true, false)]
    #[case(Errno::EMFILE, true, false)]
    #[case(Errno::EIO, true, false)]
    #[case(Errno::ENOENT, false, false)]
    #[case(Errno::ENAMETOOLONG, false, false)]
    #[case(Errno::ELOOP, false, false)]
    fn the_machine_is_told_from_the_run(#[case] errno: Errno, #[case] own: bool, #[case] full: bool) {
        let error = io::Error::from(errno);
        assert_eq!(is_own(&error), own);
        assert_eq!(OwnFault::new("write", error).is_full_disk(), full);
    }

    #[rstest]
    #[case(Errno::EACCES, true)]
    #[case(Errno::EPERM, true)]
    #[case(Errno::ENOENT, false)]
    fn missing_rights_are_told_apart(#[case] errno: Errno, #[case] denied: bool) {
        assert_eq!(is_denied(&io::Error::from(errno)), denied);
        assert!(!is_own(&io::Error::from(errno)), "a project may have brought what cannot be read");
    }

    #[test]
    fn it_says_what_and_why() {
        let fault = OwnFault::new("make the workspace", io::Error::from(Errno::EROFS));
        let told = minitower_daemon::errors::chain(&fault);
        assert!(told.starts_with("cannot make the workspace: Read-only file system"), "{told}");
    }
}
