//! Time, as the server counts it.
//!
//! The wall clock is read once, at start, and advanced by `CLOCK_BOOTTIME` from there on: a jump of the wall clock (NTP, an
//! administrator, a resumed virtual machine) neither expires nor prolongs a lease. `CLOCK_BOOTTIME` counts through suspend,
//! which `CLOCK_MONOTONIC` does not (`clock_gettime(2)`).

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

pub use minitower_vocabulary::time::Timestamp;
use nix::time::{ClockId, clock_gettime};

/// The server's clock. Clones share it.
#[derive(Debug, Clone)]
pub struct Clock(Source);

#[derive(Debug, Clone)]
enum Source {
    Boottime(Anchor),
    Manual(Arc<AtomicI64>),
}

/// What was read at start, in milliseconds.
#[derive(Debug, Clone, Copy)]
struct Anchor {
    wall: i64,
    boot: i64,
}

impl Anchor {
    fn at(self, boot: i64) -> Timestamp {
        // `max` because a snapshot of a virtual machine may restore an earlier boot time; time then stands still.
        Timestamp(self.wall + (boot - self.boot).max(0))
    }
}

impl Clock {
    /// A clock anchored now.
    pub fn start() -> Self {
        Self(Source::Boottime(Anchor {
            wall: read_ms(ClockId::CLOCK_REALTIME),
            boot: read_ms(ClockId::CLOCK_BOOTTIME),
        }))
    }

    /// A clock that stands at `at` until [`Clock::advance`] moves it; for tests and the model.
    pub fn manual(at: Timestamp) -> Self {
        Self(Source::Manual(Arc::new(AtomicI64::new(at.0))))
    }

    /// The time.
    pub fn now(&self) -> Timestamp {
        match &self.0 {
            Source::Boottime(anchor) => anchor.at(read_ms(ClockId::CLOCK_BOOTTIME)),
            Source::Manual(at) => Timestamp(at.load(Ordering::SeqCst)),
        }
    }

    /// Moves a manual clock; a real one goes by itself and is left alone.
    pub fn advance(&self, d: Duration) {
        if let Source::Manual(at) = &self.0 {
            at.fetch_add(i64::try_from(d.as_millis()).unwrap_or(i64::MAX), Ordering::SeqCst);
        }
    }
}

fn read_ms(id: ClockId) -> i64 {
    // Both clocks exist on every Linux since 2.6.39; a kernel without them cannot run the server.
    #[expect(clippy::expect_used, reason = "nothing sensible can be done without a clock")]
    let t = clock_gettime(id).expect("the kernel has CLOCK_REALTIME and CLOCK_BOOTTIME");
    #[expect(clippy::useless_conversion, reason = "tv_sec is i32 on some targets")]
    let (seconds, nanos) = (i64::from(t.tv_sec()), i64::from(t.tv_nsec()));
    seconds * 1000 + nanos / 1_000_000
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wall_clock_jump_does_not_move_the_clock() {
        // The anchor was taken at wall 1_000_000; whatever the wall clock does later, only boot time counts.
        let anchor = Anchor { wall: 1_000_000, boot: 500 };
        assert_eq!(anchor.at(500), Timestamp(1_000_000));
        assert_eq!(anchor.at(1_500), Timestamp(1_001_000));
        assert_eq!(anchor.at(400), Timestamp(1_000_000), "never backwards behind its start");
    }

    #[test]
    fn a_real_clock_goes_forward_and_agrees_with_the_wall_at_its_start() {
        let wall = read_ms(ClockId::CLOCK_REALTIME);
        let clock = Clock::start();
        let (first, second) = (clock.now(), clock.now());
        assert!(second >= first);
        assert!((first.0 - wall).abs() < 5_000);
    }
}
