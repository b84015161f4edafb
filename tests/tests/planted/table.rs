//! Which check catches which bug.

use minitower_planted::Bug;

/// One test of one test program.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Check {
    /// The test program: the name of a folder or file in a crate's `tests`.
    pub(crate) target: &'static str,
    /// The test's whole name in it.
    pub(crate) test: &'static str,
}

const fn check(target: &'static str, test: &'static str) -> Check {
    Check { target, test }
}

/// Every bug with the check that has to fail when it is there.
pub(crate) const CAUGHT: &[(Bug, Check)] = &[(
    Bug::HeartbeatAfterExpiry,
    check("protocol", "expiry::an_expired_lease_is_refused_on_all_calls_and_changes_nothing"),
)];
