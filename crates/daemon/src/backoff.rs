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
}
