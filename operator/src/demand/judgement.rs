//! What is known of demand: a good answer, an old one, or nothing.

use std::time::Duration;

use super::error::ControlPlaneError;
use super::snapshot::Snapshot;

/// How long the last good answer counts while newer questions are not answered.
pub const STALE_LIMIT: Duration = Duration::from_secs(60);

/// What is known of demand.
#[derive(Debug, Clone, Copy)]
pub enum Demand<'r> {
    /// The latest scrape was good. Only this can shrink a pool.
    Known(&'r Snapshot),
    /// The latest scrape failed, but an earlier one is young enough to grow a pool by.
    Stale {
        /// The last good answer.
        snapshot: &'r Snapshot,
        /// How old it is.
        age: Duration,
        /// Why there is no newer one.
        reason: &'r ControlPlaneError,
    },
    /// Nothing is known: the pool keeps its size within its bounds.
    Unknown {
        /// Why.
        reason: &'r ControlPlaneError,
    },
}

impl<'r> Demand<'r> {
    /// The answer to act on.
    pub fn snapshot(self) -> Option<&'r Snapshot> {
        match self {
            Self::Known(snapshot) | Self::Stale { snapshot, .. } => Some(snapshot),
            Self::Unknown { .. } => None,
        }
    }

    /// Why the latest scrape was not good.
    pub fn reason(self) -> Option<&'r ControlPlaneError> {
        match self {
            Self::Known(_) => None,
            Self::Stale { reason, .. } | Self::Unknown { reason } => Some(reason),
        }
    }

    /// `Known`, `Stale` or `Unknown`.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Known(_) => "Known",
            Self::Stale { .. } => "Stale",
            Self::Unknown { .. } => "Unknown",
        }
    }
}

/// Judges the latest scrape, and the last good one with its age. An age is counted from the moment the server was asked.
pub fn judge<'r>(
    last_good: Option<(&'r Snapshot, Duration)>,
    latest: Result<&'r Snapshot, &'r ControlPlaneError>,
) -> Demand<'r> {
    match (latest, last_good) {
        (Ok(snapshot), _) => Demand::Known(snapshot),
        (Err(reason), Some((snapshot, age))) if age < STALE_LIMIT => Demand::Stale { snapshot, age, reason },
        (Err(reason), _) => Demand::Unknown { reason },
    }
}

#[cfg(test)]
mod tests {
    use std::time::Instant;

    use rstest::rstest;

    use super::*;
    use crate::demand::Pending;
    use crate::demand::error::Cause;

    fn snapshot() -> Snapshot {
        Snapshot { taken_at: Instant::now(), pending: Pending::new(), runners: Vec::new() }
    }

    #[rstest]
    #[case::good(true, None, "Known")]
    #[case::good_after_an_old_one(true, Some(Duration::from_secs(3600)), "Known")]
    #[case::failed_just_now(false, Some(Duration::ZERO), "Stale")]
    #[case::failed_for_almost_a_minute(false, Some(Duration::from_millis(59_999)), "Stale")]
    #[case::failed_for_a_minute(false, Some(Duration::from_secs(60)), "Unknown")]
    #[case::never_good(false, None, "Unknown")]
    fn demand_is_known_stale_or_unknown(
        #[case] is_good: bool,
        #[case] last_good: Option<Duration>,
        #[case] expected: &str,
    ) {
        let (now, before) = (snapshot(), snapshot());
        let error = ControlPlaneError::new("http://x", Cause::Deadline(Duration::from_secs(5)));
        let latest = if is_good { Ok(&now) } else { Err(&error) };
        let demand = judge(last_good.map(|age| (&before, age)), latest);
        assert_eq!(demand.as_str(), expected);
        assert_eq!(demand.snapshot().is_some(), expected != "Unknown");
        let reason = demand.reason().map(ControlPlaneError::told);
        assert_eq!(reason, (!is_good).then(|| error.told()));
    }
}
