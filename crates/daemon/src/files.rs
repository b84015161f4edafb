//! The limit of open files: as high as the system allows for a program, and for what it starts what it was before.
//!
//! Programs that use `select(2)` do not get along with descriptors above 1023, so that a job keeps the limit it would have had.

use std::sync::OnceLock;

use nix::errno::Errno;
use nix::sys::resource::{Resource, getrlimit, setrlimit};

/// The soft limit before it was raised.
static BEFORE: OnceLock<u64> = OnceLock::new();

/// Allows the process as many open files as the system lets it have.
pub fn raise_limit() -> Result<(), Errno> {
    let (soft, hard) = getrlimit(Resource::RLIMIT_NOFILE)?;
    if soft < hard {
        setrlimit(Resource::RLIMIT_NOFILE, hard, hard)?;
    }
    let _first_counts = BEFORE.set(soft);
    Ok(())
}

/// The soft limit before [`raise_limit`]; `None` when it was not called, or failed.
pub fn limit_before() -> Option<u64> {
    BEFORE.get().copied()
}

/// Sets the soft limit, as far as the hard one allows. What a process starts later inherits it.
pub fn set_limit(soft: u64) -> Result<(), Errno> {
    let (_, hard) = getrlimit(Resource::RLIMIT_NOFILE)?;
    setrlimit(Resource::RLIMIT_NOFILE, soft.min(hard), hard)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_limit_rises_to_the_hard_one_and_the_former_is_remembered() {
        let (soft, hard) = getrlimit(Resource::RLIMIT_NOFILE).unwrap();
        raise_limit().unwrap();
        assert_eq!(getrlimit(Resource::RLIMIT_NOFILE).unwrap(), (hard, hard));
        raise_limit().unwrap();
        assert_eq!(limit_before(), Some(soft));
        set_limit(soft).unwrap();
        assert_eq!(getrlimit(Resource::RLIMIT_NOFILE).unwrap(), (soft, hard));
    }
}
