//! How long what has ended is kept. The app says so, or else its team, or else the server: each field for itself.

use std::time::Duration;

/// The shortest time, in seconds: what is old is looked for once an hour.
pub const LEAST_SECONDS: i64 = 3600;
/// The longest time, in seconds: a hundred years.
pub const MOST_SECONDS: i64 = 3_153_600_000;
/// The most runs and versions of an app that are kept in any case.
pub const MOST_LAST: i64 = 1_000_000;

/// How long what has ended is kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Retention {
    /// At least so long; none: for ever.
    pub runs_for: Option<Duration>,
    /// So many of the newest runs of each app stay in any case, and as many of its versions.
    pub last: u32,
}

impl Default for Retention {
    fn default() -> Self {
        Self { runs_for: Some(Duration::from_hours(90 * 24)), last: 100 }
    }
}

impl Retention {
    /// The same, but for what somebody more specific says.
    #[must_use]
    pub fn with(self, said: Said) -> Self {
        let Said { seconds, last } = said;
        Self {
            runs_for: seconds.map_or(self.runs_for, |seconds| {
                (seconds > 0).then(|| Duration::from_secs(seconds.unsigned_abs()))
            }),
            last: last.map_or(self.last, |last| u32::try_from(last).unwrap_or(u32::MAX)),
        }
    }

    /// In seconds; 0: for ever.
    #[must_use]
    pub fn seconds(&self) -> i64 {
        self.runs_for.map_or(0, |kept| i64::try_from(kept.as_secs()).unwrap_or(i64::MAX).max(1))
    }
}

/// What a team or an app says of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct Said {
    /// How long, in seconds; 0: for ever; none: whoever is less specific says so.
    pub seconds: Option<i64>,
    /// How many stay in any case; none: whoever is less specific says so.
    pub last: Option<i64>,
}

/// What is to change of it: none: it stays; none inside: it is left to whoever is less specific.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Change {
    /// How long, in seconds; 0: for ever.
    pub seconds: Option<Option<i64>>,
    /// How many stay in any case.
    pub last: Option<Option<i64>>,
}

impl Change {
    /// Nothing is said any more.
    pub const CLEARED: Self = Self { seconds: Some(None), last: Some(None) };

    /// The time, if it is none.
    #[must_use]
    pub fn bad_seconds(&self) -> Option<i64> {
        let is_time = |seconds: &i64| *seconds == 0 || (LEAST_SECONDS..=MOST_SECONDS).contains(seconds);
        self.seconds.flatten().filter(|seconds| !is_time(seconds))
    }

    /// The number, if it is none.
    #[must_use]
    pub fn bad_last(&self) -> Option<i64> {
        self.last.flatten().filter(|last| !(0..=MOST_LAST).contains(last))
    }
}

impl Said {
    /// What is said after a change.
    #[must_use]
    pub fn after(self, change: Change) -> Self {
        Self { seconds: change.seconds.unwrap_or(self.seconds), last: change.last.unwrap_or(self.last) }
    }
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    const SERVER: Retention = Retention { runs_for: Some(Duration::from_secs(90)), last: 100 };

    fn said(seconds: Option<i64>, last: Option<i64>) -> Said {
        Said { seconds, last }
    }

    #[test]
    fn whoever_is_most_specific_says_so_field_by_field() {
        let nothing = said(None, None);
        assert_eq!(SERVER.with(nothing).with(nothing), SERVER);
        let (team, app) = (said(Some(7), Some(3)), said(None, Some(0)));
        let kept = SERVER.with(team).with(app);
        assert_eq!(kept, Retention { runs_for: Some(Duration::from_secs(7)), last: 0 });
        let for_ever = SERVER.with(team).with(said(Some(0), None));
        assert_eq!(for_ever, Retention { runs_for: None, last: 3 });
        assert_eq!((SERVER.seconds(), for_ever.seconds()), (90, 0));
        let again = for_ever.with(said(Some(5), None));
        assert_eq!(
            again.runs_for,
            Some(Duration::from_secs(5)),
            "a server that keeps all says nothing for others"
        );
    }

    #[test]
    fn what_is_left_out_of_a_change_stays() {
        let before = said(Some(7), Some(3));
        let change = |seconds, last| before.after(Change { seconds, last });
        assert_eq!(change(None, None), before);
        assert_eq!(change(Some(None), None), said(None, Some(3)));
        assert_eq!(change(None, Some(Some(4))), said(Some(7), Some(4)));
        assert_eq!(before.after(Change::CLEARED), Said::default());
    }

    #[rstest]
    #[case(0, true)]
    #[case(1, false)]
    #[case(LEAST_SECONDS - 1, false)]
    #[case(LEAST_SECONDS, true)]
    #[case(MOST_SECONDS, true)]
    #[case(MOST_SECONDS + 1, false)]
    #[case(-1, false)]
    fn a_time_is_an_hour_to_a_hundred_years_or_for_ever(#[case] seconds: i64, #[case] good: bool) {
        let change = Change { seconds: Some(Some(seconds)), last: Some(None) };
        assert_eq!(change.bad_seconds().is_none(), good);
        assert_eq!(change.bad_last(), None);
    }

    #[rstest]
    #[case(0, true)]
    #[case(MOST_LAST, true)]
    #[case(MOST_LAST + 1, false)]
    #[case(-1, false)]
    fn a_number_is_none_to_a_million(#[case] last: i64, #[case] good: bool) {
        let change = Change { seconds: None, last: Some(Some(last)) };
        assert_eq!(change.bad_last().is_none(), good);
        assert_eq!(change.bad_seconds(), None);
    }
}
