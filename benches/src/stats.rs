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

/// A figure, and between what it lies with 95 % confidence.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Interval {
    /// The figure.
    pub middle: f64,
    /// Its lower bound.
    pub low: f64,
    /// Its upper bound.
    pub high: f64,
}

/// 97.5 % quantiles of Student's t distribution for 1 to 30 degrees of freedom
/// (NIST/SEMATECH e-Handbook of Statistical Methods, section 1.3.6.7.2).
const STUDENT: [f64; 30] = [
    12.706, 4.303, 3.182, 2.776, 2.571, 2.447, 2.365, 2.306, 2.262, 2.228, 2.201, 2.179, 2.160, 2.145, 2.131,
    2.120, 2.110, 2.101, 2.093, 2.086, 2.080, 2.074, 2.069, 2.064, 2.060, 2.056, 2.052, 2.048, 2.045, 2.042,
];

/// The ratio of the second to the first over pairs of positive figures, by Student's t on the logarithms of the ratios.
/// Of fewer than two pairs nothing can be said: the interval is everything.
pub fn ratio_interval(pairs: &[(f64, f64)]) -> Interval {
    let logs: Vec<f64> = pairs.iter().map(|(base, new)| (new / base).ln()).collect();
    let count = ratio_base(logs.len() as u64);
    let mean = logs.iter().sum::<f64>() / count;
    let Some(freedom) = logs.len().checked_sub(1).filter(|freedom| *freedom > 0) else {
        return Interval { middle: mean.exp(), low: 0.0, high: f64::INFINITY };
    };
    let squares = logs.iter().map(|log| (log - mean).powi(2)).sum::<f64>();
    let error = (squares / ratio_base(freedom as u64) / count).sqrt();
    let reach = STUDENT[freedom.min(STUDENT.len()) - 1] * error;
    Interval { middle: mean.exp(), low: (mean - reach).exp(), high: (mean + reach).exp() }
}

/// The middle one, or the mean of the two middle ones; 0 of none.
pub fn median(figures: &[f64]) -> f64 {
    let mut sorted = figures.to_vec();
    sorted.sort_unstable_by(f64::total_cmp);
    match (sorted.len(), sorted.len() / 2) {
        (0, _) => 0.0,
        (len, middle) if len % 2 == 1 => sorted[middle],
        (_, middle) => f64::midpoint(sorted[middle - 1], sorted[middle]),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_ratio_lies_within_its_interval() {
        // Logarithms 0.1 and 0.3: mean 0.2, standard error 0.1, one degree of freedom.
        let ratio = ratio_interval(&[(1.0, 0.1_f64.exp()), (2.0, 2.0 * 0.3_f64.exp())]);
        assert!((ratio.middle.ln() - 0.2).abs() < 1e-9, "{ratio:?}");
        assert!((ratio.low.ln() - (0.2 - 1.2706)).abs() < 1e-9, "{ratio:?}");
        assert!((ratio.high.ln() - (0.2 + 1.2706)).abs() < 1e-9, "{ratio:?}");
        assert!(ratio_interval(&[(1.0, 2.0)]).high.is_infinite());
    }

    #[test]
    fn the_median_is_the_middle() {
        assert!((median(&[3.0, 1.0, 2.0]) - 2.0).abs() < 1e-9);
        assert!((median(&[4.0, 1.0, 2.0, 3.0]) - 2.5).abs() < 1e-9);
        assert!(median(&[]).abs() < 1e-9);
    }

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
