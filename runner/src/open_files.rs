//! The limit of open files: as high as the system allows for the runner, and for its jobs what it was before.
//!
//! Programs that use `select(2)` do not get along with descriptors above 1023, so that a job keeps the limit it would have had.

use std::sync::OnceLock;

use minitower_daemon::files;

/// Tells a supervisor the limit of its job.
pub(crate) const VARIABLE: &str = "MINITOWER_FORMER_OPEN_FILES";

/// The soft limit before it was raised.
static BEFORE: OnceLock<u64> = OnceLock::new();

/// Raises the limit of this process. Jobs get the one it had.
pub fn raise() {
    match files::raise_limit() {
        Ok(before) => {
            let _first_counts = BEFORE.set(before);
        }
        Err(error) => tracing::warn!(%error, "the limit of open files stays as it is"),
    }
}

/// The limit that jobs get; `None` when it is this process's own.
pub(crate) fn for_jobs() -> Option<u64> {
    BEFORE.get().copied()
}

/// Takes the limit from the environment: what a supervisor starts inherits it.
pub(crate) fn lower() {
    let limit = std::env::var(VARIABLE).ok().and_then(|limit| limit.parse().ok());
    if let Some(limit) = limit {
        // A lower limit is always allowed.
        let _lowered = files::set_limit(limit);
    }
}
