//! Holding a lease: how long it lasts, extending it, and what its end means.
//!
//! The arithmetic here is pure. [`Keeper`] sends the heartbeats. Neither knows the job.

mod keeper;

use std::time::Duration;

use jiff::Timestamp;

pub(crate) use keeper::{Keeper, Standing};

use crate::clock::BootTime;

/// The runner stops at least this long before the lease ends.
const LEAST_MARGIN: Duration = Duration::from_millis(500);
/// How far a server's `Date`, which has whole seconds, may be off.
const DATE_PRECISION: Duration = Duration::from_secs(1);

/// The length of a lease. Servers before `lease_ttl_ms` give only its end, by their own clock. The `Date` of their answer says what
/// that clock showed; `now` stands in for a missing `Date`.
pub(crate) fn length(
    lease_ttl_ms: Option<u64>,
    lease_expires_at: Timestamp,
    date: Option<Timestamp>,
    now: Timestamp,
) -> Duration {
    if let Some(milliseconds) = lease_ttl_ms {
        return Duration::from_millis(milliseconds);
    }
    let left = lease_expires_at.duration_since(date.unwrap_or(now));
    Duration::try_from(left).unwrap_or_default().saturating_sub(DATE_PRECISION)
}

/// Until when a job may run under a lease of `length` if the request that extended it was sent at `sent`. A late answer can only
/// shorten that time. The margin covers clocks that tick differently, and the time that a kill takes.
pub(crate) fn deadline(sent: BootTime, length: Duration) -> BootTime {
    sent.plus(length.saturating_sub(LEAST_MARGIN.max(length / 10)))
}

/// Time between two heartbeats.
pub(crate) fn heartbeat_interval(length: Duration) -> Duration {
    length / 3
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use rstest::rstest;

    use super::*;

    #[rstest]
    #[case(60_000, 54_000)]
    #[case(5_000, 4_500)]
    #[case(2_000, 1_500)]
    #[case(300, 0)]
    fn the_margin_is_a_tenth_but_at_least_half_a_second(#[case] length: u64, #[case] usable: u64) {
        let sent = BootTime::from_boot(Duration::from_secs(100));
        let expected = sent.plus(Duration::from_millis(usable));
        assert_eq!(deadline(sent, Duration::from_millis(length)), expected);
    }

    #[test]
    fn the_length_of_older_servers_comes_from_their_own_clock() {
        let at = |text: &str| text.parse::<Timestamp>().unwrap();
        let expires = at("2030-01-01T00:01:00.9Z");
        let date = Some(at("2030-01-01T00:00:00Z"));
        let ours = at("1999-01-01T00:00:00Z");
        assert_eq!(length(None, expires, date, ours), Duration::from_millis(59_900));
        assert_eq!(length(Some(30_000), expires, date, ours), Duration::from_secs(30));
        assert_eq!(length(None, expires, Some(at("2031-01-01T00:00:00Z")), ours), Duration::ZERO);
        assert_eq!(length(None, expires, None, at("2030-01-01T00:00:30Z")), Duration::from_millis(29_900));
    }

    proptest! {
        #[test]
        fn a_deadline_is_always_before_the_lease_ends(sent in 0_u64..1_000_000, length in 0_u64..10_000_000) {
            let sent = BootTime::from_boot(Duration::from_millis(sent));
            let length = Duration::from_millis(length);
            let deadline = deadline(sent, length);
            prop_assert!(deadline >= sent);
            prop_assert!(deadline < sent.plus(length) || deadline == sent);
        }
    }
}
