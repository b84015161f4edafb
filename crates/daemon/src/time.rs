//! Clocks, and pauses between attempts.
//!
//! Programs decide by [`boottime`], and show [`wall_clock`] to people. Pauses between attempts double, and they are jittered, so that many
//! programs that failed together do not try again together.

use std::time::Duration;

use jiff::Timestamp;
use nix::time::{ClockId, clock_gettime};

/// The jitter lengthens a pause by at most this share of it.
const MOST_JITTER: f64 = 0.2;

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

/// Pauses that double from attempt to attempt, without an end: whoever waits has a deadline of its own.
#[derive(Debug, Clone)]
pub struct Backoff {
    shortest: Duration,
    longest: Duration,
    failures: u32,
}

impl Backoff {
    /// Starts at `shortest` and grows to `longest`; the jitter is on top.
    pub fn new(shortest: Duration, longest: Duration) -> Self {
        Self { shortest, longest, failures: 0 }
    }

    /// The pause before the next attempt.
    pub fn next_pause(&mut self) -> Duration {
        self.failures = self.failures.saturating_add(1);
        pause_after(self.failures, self.shortest, self.longest)
    }

    /// Waits for the next pause.
    pub async fn pause(&mut self) {
        tokio::time::sleep(self.next_pause()).await;
    }
}

/// The jittered pause after so many failures in a row: `shortest` after the first one, doubled with each one after it, up to `longest`.
pub fn pause_after(failures: u32, shortest: Duration, longest: Duration) -> Duration {
    let doublings = failures.saturating_sub(1).min(30);
    jittered(shortest.saturating_mul(1 << doublings).min(longest))
}

/// `pause`, lengthened at random by up to a fifth.
pub fn jittered(pause: Duration) -> Duration {
    pause.mul_f64(1.0 + rand::random::<f64>() * MOST_JITTER)
}

#[cfg(test)]
mod tests {
    use super::*;

    const SHORTEST: Duration = Duration::from_millis(500);
    const LONGEST: Duration = Duration::from_secs(30);

    /// Between `pause` and a fifth more.
    fn is_jittered(actual: Duration, pause: Duration) -> bool {
        (pause..=pause.mul_f64(1.0 + MOST_JITTER)).contains(&actual)
    }

    #[test]
    fn pauses_double_from_the_shortest_to_the_longest() {
        for (failures, pause) in [(0, 500), (1, 500), (2, 1000), (3, 2000), (6, 16_000), (7, 30_000)] {
            let actual = pause_after(failures, SHORTEST, LONGEST);
            assert!(is_jittered(actual, Duration::from_millis(pause)), "{failures} failures: {actual:?}");
        }
        assert!(is_jittered(pause_after(u32::MAX, SHORTEST, LONGEST), LONGEST));
    }

    #[test]
    fn a_backoff_counts_its_own_failures() {
        let mut backoff = Backoff::new(SHORTEST, LONGEST);
        assert!(is_jittered(backoff.next_pause(), SHORTEST));
        assert!(is_jittered(backoff.next_pause(), SHORTEST * 2));
    }

    #[test]
    fn two_programs_do_not_pause_for_the_same_time() {
        let pauses: std::collections::BTreeSet<_> = (0..20).map(|_| jittered(LONGEST)).collect();
        assert!(pauses.len() > 1);
    }
}
