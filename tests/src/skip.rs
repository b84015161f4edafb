//! Saying that a test cannot run here.

use std::io::Write as _;
use std::process::Command;

/// Says why the current test cannot run, past the test runner's capture, so that `make test` can count it as skipped
/// and not as passed.
pub fn skip(reason: &str) {
    let thread = std::thread::current();
    let test = thread.name().unwrap_or("a test");
    let _ = writeln!(std::io::stderr(), "SKIPPED {test}: {reason}");
}

/// Asks the kernel for the version of its Landlock interface: `landlock_create_ruleset(NULL, 0,
/// LANDLOCK_CREATE_RULESET_VERSION)`; the call has the number 444 on every architecture.
const ASK_FOR_LANDLOCK: &str =
    "import ctypes, sys; sys.exit(ctypes.CDLL(None).syscall(444, None, 0, 1) <= 0)";

/// Whether the kernel confines jobs with Landlock.
pub fn has_landlock() -> bool {
    Command::new("python3").args(["-c", ASK_FOR_LANDLOCK]).status().is_ok_and(|status| status.success())
}
