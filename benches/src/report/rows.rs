//! One line of the report.

use super::numbers::{bare, figure};
use crate::stats::median;

/// What a figure is held against.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Bound {
    AtLeast(f64),
    AtMost(f64),
    /// Told beside the others.
    None,
}

/// What was measured.
#[derive(Debug, Clone)]
pub(super) struct Row {
    pub(super) what: String,
    pub(super) bound: Bound,
    pub(super) unit: &'static str,
    /// One value for each run.
    pub(super) values: Vec<f64>,
    pub(super) how: String,
}

impl Row {
    pub(super) fn new(
        what: impl Into<String>,
        bound: Bound,
        unit: &'static str,
        values: Vec<f64>,
        how: impl Into<String>,
    ) -> Self {
        Self { what: what.into(), bound, unit, values, how: how.into() }
    }

    /// Whether the median is on the right side; `None` without a bound.
    pub(super) fn holds(&self) -> Option<bool> {
        match self.bound {
            Bound::AtLeast(bound) => Some(median(&self.values) >= bound),
            Bound::AtMost(bound) => Some(median(&self.values) <= bound),
            Bound::None => None,
        }
    }

    /// The bound in words.
    pub(super) fn target(&self) -> String {
        match self.bound {
            Bound::AtLeast(bound) => format!("≥ {} {}", bare(bound), self.unit).trim_end().to_owned(),
            Bound::AtMost(bound) => format!("≤ {} {}", bare(bound), self.unit).trim_end().to_owned(),
            Bound::None => String::new(),
        }
    }

    /// The median with the smallest and the largest value.
    pub(super) fn measured(&self) -> String {
        let middle = format!("{} {}", figure(median(&self.values)), self.unit);
        let middle = middle.trim_end();
        if self.values.len() < 2 {
            return middle.to_owned();
        }
        let least = self.values.iter().copied().fold(f64::INFINITY, f64::min);
        let most = self.values.iter().copied().fold(f64::NEG_INFINITY, f64::max);
        format!("{middle} ({} – {})", figure(least), figure(most))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_row_holds_by_its_median() {
        let row = |bound| Row::new("a", bound, "ms", vec![9.0, 1.0, 2.0], "so");
        assert_eq!(row(Bound::AtMost(2.0)).holds(), Some(true));
        assert_eq!(row(Bound::AtMost(1.9)).holds(), Some(false));
        assert_eq!(row(Bound::AtLeast(2.1)).holds(), Some(false));
        assert_eq!(row(Bound::None).holds(), None);
        assert_eq!(row(Bound::AtLeast(2500.0)).target(), "≥ 2,500 ms");
        assert_eq!(row(Bound::AtMost(1.5)).target(), "≤ 1.5 ms");
        assert_eq!(row(Bound::None).measured(), "2.00 ms (1.00 – 9.00)");
    }
}
