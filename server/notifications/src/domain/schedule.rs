//! How often a delivery is tried, and how many may wait.

use std::time::Duration;

use minitower_vocabulary::time::Timestamp;

/// Deliveries of one notification that may wait to be sent. What comes beyond is counted, and told in one message.
pub const MOST_WAITING: i64 = 1000;
/// So many may wait at most when it is told how many were dropped: so that one flood is told once.
pub const WAITING_WHEN_TOLD: i64 = MOST_WAITING / 2;
/// Attempts at a delivery, over about a day: see [`after_failure`].
pub const MOST_TRIES: i64 = 11;
/// Pause after the first attempt.
const FIRST_PAUSE: Duration = Duration::from_secs(10);
/// Each pause is so many times the one before.
const FACTOR: u32 = 3;
/// Longest pause, but for what jitter adds.
const LONGEST_PAUSE: Duration = Duration::from_hours(8);

/// When a delivery is tried again that has failed `tries` times, the last time at `now`; none: it has failed for good.
///
/// `jitter`, from 0 to 1, lengthens the pause by up to a fifth, so that what failed together does not come again together. A receiver may
/// ask for a longer pause, within [the longest](LONGEST_PAUSE).
pub fn after_failure(
    tries: i64,
    asked_for: Option<Duration>,
    jitter: f64,
    now: Timestamp,
) -> Option<Timestamp> {
    if tries >= MOST_TRIES {
        return None;
    }
    let exponent = u32::try_from(tries - 1).unwrap_or(0);
    let pause = FACTOR
        .checked_pow(exponent)
        .and_then(|factor| FIRST_PAUSE.checked_mul(factor))
        .map_or(LONGEST_PAUSE, |pause| pause.min(LONGEST_PAUSE));
    let pause = asked_for.map_or(pause, |asked| pause.max(asked.min(LONGEST_PAUSE)));
    Some(now.plus(pause.mul_f64(1.0 + jitter.clamp(0.0, 1.0) / 5.0)))
}

/// The latest moment for which a delivery that is tried at `now` may be put off. One that is put off further was so by a clock that was
/// wrong.
pub fn latest(now: Timestamp) -> Timestamp {
    now.plus(LONGEST_PAUSE + LONGEST_PAUSE / 5)
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Timestamp = Timestamp(1_000_000);

    fn pauses(jitter: f64) -> Vec<u64> {
        (1..)
            .map_while(|tries| after_failure(tries, None, jitter, NOW))
            .map(|at| at.since(NOW).as_secs())
            .collect()
    }

    #[test]
    fn a_delivery_is_tried_for_about_a_day() {
        assert_eq!(pauses(0.0), [10, 30, 90, 270, 810, 2430, 7290, 21870, 28800, 28800]);
        let hours: u64 = pauses(0.0).iter().sum::<u64>() / 3600;
        assert_eq!((hours, pauses(0.0).len()), (25, usize::try_from(MOST_TRIES).unwrap() - 1));
    }

    #[test]
    fn jitter_lengthens_by_at_most_a_fifth() {
        for (with, without) in pauses(1.0).into_iter().zip(pauses(0.0)) {
            assert_eq!(with, without + without / 5);
        }
        assert!(after_failure(10, None, 7.0, NOW) <= Some(latest(NOW)));
    }

    #[test]
    fn a_receiver_may_ask_for_more_time_but_not_for_less_or_for_ever() {
        let pause = |asked: u64| {
            after_failure(1, Some(Duration::from_secs(asked)), 0.0, NOW).map(|at| at.since(NOW).as_secs())
        };
        assert_eq!((pause(1), pause(60), pause(1 << 40)), (Some(10), Some(60), Some(28800)));
    }
}
