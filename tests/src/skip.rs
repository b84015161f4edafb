//! Saying that a test cannot run here.

use std::io::Write as _;

/// Says why the current test cannot run, past the test runner's capture, so that `make test` can count it as skipped
/// and not as passed.
pub fn skip(reason: &str) {
    let thread = std::thread::current();
    let test = thread.name().unwrap_or("a test");
    let _ = writeln!(std::io::stderr(), "SKIPPED {test}: {reason}");
}

/// Whether the kernel confines jobs with Landlock.
pub fn has_landlock() -> bool {
    std::fs::read_to_string("/sys/kernel/security/lsm").is_ok_and(|modules| modules.contains("landlock"))
}
