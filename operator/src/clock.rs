//! The two clocks: one that goes on while the machine sleeps and that nobody sets, to decide by; the wall clock, to tell people.

use std::time::Duration;

use jiff::Timestamp;
use nix::time::{ClockId, clock_gettime};

/// Time since the machine started, on `CLOCK_BOOTTIME`: a leader whose machine was suspended must not take the pause for no time.
pub fn boottime() -> Duration {
    match clock_gettime(ClockId::CLOCK_BOOTTIME) {
        Ok(now) => Duration::from(now),
        // Linux has had it since 2.6.39: it cannot fail.
        Err(error) => unreachable!("CLOCK_BOOTTIME cannot be read: {error}"),
    }
}

/// The wall clock: for what people and Kubernetes read. Nothing is decided by it but what Kubernetes has written down in it.
#[allow(clippy::disallowed_methods, reason = "the one place")]
pub fn wall_clock() -> Timestamp {
    Timestamp::now()
}
