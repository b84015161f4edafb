//! The two clocks of a program: a monotonic one to decide by, and the wall clock to show to people.

use std::time::Duration;

use jiff::Timestamp;
use nix::time::{ClockId, clock_gettime};

/// Time since the machine started, on `CLOCK_BOOTTIME`: it never jumps, and it goes on while the machine sleeps, so that a program whose
/// machine was suspended notices the pause.
pub fn boottime() -> Duration {
    match clock_gettime(ClockId::CLOCK_BOOTTIME) {
        Ok(now) => Duration::from(now),
        // Linux has had it since 2.6.39: it cannot fail.
        Err(error) => unreachable!("CLOCK_BOOTTIME cannot be read: {error}"),
    }
}

/// The wall clock, for what people and other programs read. It may jump: nothing is decided by it except about times that others have
/// written down.
#[allow(clippy::disallowed_methods, reason = "the one place that reads the wall clock")]
pub fn wall_clock() -> Timestamp {
    Timestamp::now()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_monotonic_clock_never_goes_back() {
        let first = boottime();
        assert!(first > Duration::ZERO);
        assert!(boottime() >= first);
    }
}
