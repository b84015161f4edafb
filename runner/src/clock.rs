//! The two clocks: one to measure with, one to write into logs.

use std::time::Duration;

/// The wall clock, only for what people read.
pub(crate) use minitower_daemon::clock::wall_clock as wall;
use nix::time::{ClockId, clock_gettime};
use serde::{Deserialize, Serialize};

/// A moment on `CLOCK_BOOTTIME`: it never jumps, goes on while the machine sleeps, and is the same for all
/// processes of a machine, so that a deadline can be handed to another process.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub(crate) struct BootTime(Duration);

impl BootTime {
    /// Now.
    pub(crate) fn now() -> Self {
        // CLOCK_BOOTTIME is there since Linux 2.6.39; without it every deadline counts as passed.
        Self(clock_gettime(ClockId::CLOCK_BOOTTIME).map_or(Duration::MAX, Duration::from))
    }

    /// This moment and `duration`.
    #[must_use]
    pub(crate) fn plus(self, duration: Duration) -> Self {
        Self(self.0.saturating_add(duration))
    }

    /// How long from now until this moment; zero when it has passed.
    pub(crate) fn remaining(self) -> Duration {
        self.0.saturating_sub(Self::now().0)
    }

    /// Whether this moment is now or over.
    pub(crate) fn has_passed(self) -> bool {
        self <= Self::now()
    }

    /// How long ago this moment was; zero when it is still to come.
    pub(crate) fn elapsed(self) -> Duration {
        Self::now().0.saturating_sub(self.0)
    }

    /// Time since the machine's start.
    pub(crate) fn since_boot(self) -> Duration {
        self.0
    }

    /// A moment given by the time since the machine's start.
    #[cfg(test)]
    pub(crate) const fn from_boot(since: Duration) -> Self {
        Self(since)
    }
}

/// Waits for a moment. Looks again at least once a second, because timers stand still while the machine sleeps.
pub(crate) async fn sleep_until(moment: BootTime) {
    loop {
        let remaining = moment.remaining();
        if remaining.is_zero() {
            return;
        }
        tokio::time::sleep(remaining.min(Duration::from_secs(1))).await;
    }
}
