//! Figures from samples.

use std::time::Duration;

/// Durations of one kind of call.
#[derive(Debug, Clone, Default)]
pub struct Samples(Vec<Duration>);

impl Samples {
    /// Adds one.
    pub fn push(&mut self, sample: Duration) {
        self.0.push(sample);
    }

    /// How many.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The figures; of none all zero.
    pub fn figures(&self) -> Figures {
        let mut sorted = self.0.clone();
        sorted.sort_unstable();
        Figures {
            count: sorted.len(),
            p50: millis(percentile(&sorted, 50)),
            p99: millis(percentile(&sorted, 99)),
            max: millis(sorted.last().copied().unwrap_or_default()),
        }
    }
}

/// What is told of samples, in milliseconds.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Figures {
    /// How many samples.
    pub count: usize,
    /// Half of them took at most this.
    pub p50: f64,
    /// 99 of 100 took at most this.
    pub p99: f64,
    /// The longest.
    pub max: f64,
}

/// The smallest sample that so many of a hundred do not exceed (nearest rank).
fn percentile(sorted: &[Duration], percent: usize) -> Duration {
    let rank = (sorted.len() * percent).div_ceil(100).max(1);
    sorted.get(rank - 1).copied().unwrap_or_default()
}

/// In milliseconds.
pub fn millis(duration: Duration) -> f64 {
    duration.as_secs_f64() * 1000.0
}

/// Microseconds of `spent` for each of `count`.
pub fn micros_each(spent: Duration, count: u64) -> f64 {
    spent.as_secs_f64() * 1e6 / ratio_base(count)
}

/// How many a second.
pub fn per_second(count: u64, within: Duration) -> f64 {
    ratio_base(count) * f64::from(u8::from(count > 0)) / within.as_secs_f64()
}

#[expect(clippy::cast_precision_loss, reason = "counts stay far below 2^52")]
fn ratio_base(count: u64) -> f64 {
    count.max(1) as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_are_samples_by_nearest_rank() {
        let mut samples = Samples::default();
        for sample in (1..=200).rev() {
            samples.push(Duration::from_millis(sample));
        }
        let figures = samples.figures();
        assert_eq!((figures.count, figures.p50, figures.p99, figures.max), (200, 100.0, 198.0, 200.0));
        assert_eq!(Samples::default().figures(), Figures::default());
    }

    #[test]
    fn rates_are_by_the_second_and_costs_by_the_piece() {
        assert!((per_second(500, Duration::from_millis(250)) - 2000.0).abs() < 1e-9);
        assert!(per_second(0, Duration::from_secs(1)).abs() < 1e-9);
        assert!((micros_each(Duration::from_millis(3), 30) - 100.0).abs() < 1e-9);
    }
}
