//! Pauses between attempts, so that many programs do not act in step.

use std::time::Duration;

use backon::{BackoffBuilder, ExponentialBackoff, ExponentialBuilder};

/// Doubling pauses with jitter, without an end: whoever waits has a deadline of their own.
#[derive(Debug)]
pub struct Backoff {
    pauses: ExponentialBackoff,
    longest: Duration,
}

impl Backoff {
    /// Begins at `shortest`, ends at `longest`; jitter adds up to as much again as the pause.
    pub fn new(shortest: Duration, longest: Duration) -> Self {
        let pauses = ExponentialBuilder::default()
            .with_min_delay(shortest.min(longest))
            .with_max_delay(longest)
            .without_max_times()
            .with_jitter()
            .build();
        Self { pauses, longest }
    }

    /// The next pause.
    #[must_use]
    pub fn next_pause(&mut self) -> Duration {
        self.pauses.next().unwrap_or(self.longest)
    }

    /// Waits for the next pause.
    pub async fn pause(&mut self) {
        tokio::time::sleep(self.next_pause()).await;
    }
}

/// The pause after so many failures in a row, for callers that count them: `shortest` after the first one, doubled with each further one, at
/// most `longest`, and then lengthened by up to a fifth at random.
#[must_use]
pub fn pause_after(failures: u32, shortest: Duration, longest: Duration) -> Duration {
    let doublings = failures.saturating_sub(1).min(30);
    jittered(shortest.saturating_mul(1 << doublings).min(longest))
}

/// `duration`, lengthened by up to a fifth at random.
#[must_use]
pub fn jittered(duration: Duration) -> Duration {
    duration.mul_f64(1.0 + rand::random::<f64>() / 5.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_double_up_to_the_longest_and_jitter_only_lengthens() {
        let (shortest, longest) = (Duration::from_millis(100), Duration::from_secs(1));
        let mut backoff = Backoff::new(shortest, longest);
        for least in [100, 200, 400, 800, 1000, 1000] {
            let pause = backoff.next_pause();
            let least = Duration::from_millis(least);
            assert!(pause >= least && pause <= 2 * least, "{pause:?} of {least:?}");
        }
        for _ in 0..100 {
            let pause = jittered(longest);
            assert!(pause >= longest && pause <= longest.mul_f64(1.2), "{pause:?}");
        }
    }
    #[test]
    fn a_counted_failure_doubles_the_pause_up_to_the_longest() {
        let (shortest, longest) = (Duration::from_millis(500), Duration::from_secs(30));
        for (failures, least) in [(0, 500), (1, 500), (2, 1000), (3, 2000), (6, 16_000), (7, 30_000)] {
            let (pause, least) = (pause_after(failures, shortest, longest), Duration::from_millis(least));
            assert!(pause >= least && pause <= least.mul_f64(1.2), "{failures} failures: {pause:?}");
        }
        assert!(pause_after(u32::MAX, shortest, longest) >= longest);
    }
}
