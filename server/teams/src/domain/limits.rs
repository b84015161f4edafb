//! What a team may use: the administrator allows, an admin of the team chooses within that, and both start from a default.

use std::fmt;
use std::time::Duration;

use minitower_vocabulary::limits::LimitName;
use minitower_vocabulary::time::Timestamp;

/// The largest number that every JSON reader takes: 2^53 - 1 (RFC 8259, section 6).
const LARGEST: u64 = (1 << 53) - 1;
/// Most of what is counted row by row whenever one is added.
const MOST_ROWS: u64 = 100_000;
/// Most calls per second that a rate can tell apart.
const FASTEST: u64 = 1_000_000;
const NUMBER: usize = LimitName::ALL.len();
const MIB: u64 = 1 << 20;

/// The values that a limit may have.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Range {
    /// What a team is allowed if nobody has decided otherwise.
    pub default: u64,
    /// The smallest.
    pub least: u64,
    /// The largest.
    pub most: u64,
}

/// The range of a limit. The defaults let nobody fill a shared server, and are far above what an ordinary team needs.
#[must_use]
#[expect(clippy::match_same_arms, reason = "a table reads by its limits")]
pub const fn range(name: LimitName) -> Range {
    let (default, least, most) = match name {
        // At least one: who chose none could not take it back.
        LimitName::RequestsPerSecond => (10_000, 1, FASTEST),
        LimitName::RunsPerDay => (10_000_000, 0, LARGEST),
        LimitName::QueuedRuns => (1_000_000, 0, LARGEST),
        LimitName::ActiveRuns => (10_000, 0, LARGEST),
        LimitName::PriorityMax => (1_000_000, 0, LARGEST),
        LimitName::TimeoutSeconds => (7 * 24 * 3600, 1, LARGEST),
        LimitName::Tokens | LimitName::Environments => (1_000, 1, MOST_ROWS),
        LimitName::Apps => (1_000, 0, MOST_ROWS),
        // As many as may wait for runs at a time.
        LimitName::Runners => (2_000, 0, MOST_ROWS),
        // Room for a beginning, an end, and the line between them.
        LimitName::LogBytesPerRun => (128 * MIB, 64 * 1024, LARGEST),
        LimitName::ArtifactBytes => (1024 * MIB, 0, LARGEST),
        LimitName::StorageBytes => (LARGEST, 0, LARGEST),
        LimitName::LongPolls => (2_000, 0, LARGEST),
        LimitName::Streams => (200, 0, LARGEST),
    };
    Range { default, least, most }
}

/// What is stored of one limit of a team.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Setting {
    /// What the administrator allows; none: the default.
    pub allowed: Option<u64>,
    /// What an admin of the team chose; none: all that is allowed.
    pub chosen: Option<u64>,
}

/// What teams are allowed if nobody has decided otherwise.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Defaults([u64; NUMBER]);

impl Defaults {
    /// Those of the program, but for the storage, which depends on the server's volume.
    #[must_use]
    pub fn with_storage(bytes: Option<u64>) -> Self {
        let mut defaults = Self([0; NUMBER]);
        for name in LimitName::ALL {
            defaults.0[*name as usize] = range(*name).default;
        }
        if let Some(bytes) = bytes {
            defaults.0[LimitName::StorageBytes as usize] = bytes.min(LARGEST);
        }
        defaults
    }
}

/// The limits of a team.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    defaults: Defaults,
    settings: [Setting; NUMBER],
}

impl Limits {
    /// Those of a team for which nobody has decided anything.
    #[must_use]
    pub const fn new(defaults: Defaults) -> Self {
        Self { defaults, settings: [Setting { allowed: None, chosen: None }; NUMBER] }
    }

    /// The same with what is stored of one limit.
    #[must_use]
    pub fn with(mut self, name: LimitName, setting: Setting) -> Self {
        self.settings[name as usize] = setting;
        self
    }

    /// What is stored of one limit.
    #[must_use]
    pub const fn setting(&self, name: LimitName) -> Setting {
        self.settings[name as usize]
    }

    /// What a team is allowed if nobody has decided otherwise.
    #[must_use]
    pub const fn default_of(&self, name: LimitName) -> u64 {
        self.defaults.0[name as usize]
    }

    /// The most that the team may choose.
    #[must_use]
    pub fn allowed(&self, name: LimitName) -> u64 {
        self.setting(name).allowed.unwrap_or(self.default_of(name))
    }

    /// What applies. A choice that is no longer allowed counts as what is.
    #[must_use]
    pub fn of(&self, name: LimitName) -> u64 {
        let allowed = self.allowed(name);
        self.setting(name).chosen.map_or(allowed, |chosen| chosen.min(allowed))
    }

    /// The same as [`Limits::of`], for what is counted in signed numbers.
    #[must_use]
    pub fn count(&self, name: LimitName) -> i64 {
        i64::try_from(self.of(name)).unwrap_or(i64::MAX)
    }

    /// The administrator allows that much; none: the default.
    pub fn allow(self, name: LimitName, allowed: Option<u64>) -> Result<Self, BadLimit> {
        check(name, allowed)?;
        Ok(self.with(name, Setting { allowed, ..self.setting(name) }))
    }

    /// An admin of the team chooses that much; none: all that is allowed.
    pub fn choose(self, name: LimitName, chosen: Option<u64>) -> Result<Self, BadLimit> {
        check(name, chosen)?;
        let allowed = self.allowed(name);
        match chosen {
            Some(found) if found > allowed => Err(BadLimit::NotAllowed { name, found, allowed }),
            _ => Ok(self.with(name, Setting { chosen, ..self.setting(name) })),
        }
    }

    /// Whether one more is within a limit when there are `used` already.
    pub fn take(&self, name: LimitName, used: u64) -> Result<(), Reached> {
        let limit = self.of(name);
        if used < limit { Ok(()) } else { Err(Reached { name, limit }) }
    }
}

fn check(name: LimitName, value: Option<u64>) -> Result<(), BadLimit> {
    let Range { least, most, .. } = range(name);
    match value {
        Some(found) if !(least..=most).contains(&found) => {
            Err(BadLimit::OutOfRange { name, found, least, most })
        }
        _ => Ok(()),
    }
}

/// A limit cannot be set to that.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum BadLimit {
    /// It makes no sense.
    #[error("{name} must be between {least} and {most}, not {found}")]
    OutOfRange {
        /// The limit.
        name: LimitName,
        /// What was asked for.
        found: u64,
        /// The smallest.
        least: u64,
        /// The largest.
        most: u64,
    },
    /// The administrator allows less.
    #[error("{name} cannot be {found}: the server's administrator allows this team at most {allowed}")]
    NotAllowed {
        /// The limit.
        name: LimitName,
        /// What was asked for.
        found: u64,
        /// What is allowed.
        allowed: u64,
    },
}

/// A team is at a limit. Displays as a sentence with the way out.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub struct Reached {
    /// The limit.
    pub name: LimitName,
    /// What it is.
    pub limit: u64,
}

impl fmt::Display for Reached {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let way_out = match self.name {
            LimitName::RequestsPerSecond => "send fewer calls",
            LimitName::RunsPerDay => "create the run tomorrow (UTC)",
            LimitName::QueuedRuns => "wait until some have started, or cancel some",
            LimitName::ActiveRuns => "wait until some have ended",
            LimitName::PriorityMax => "choose a priority closer to 0",
            LimitName::TimeoutSeconds => "choose a shorter timeout",
            LimitName::Tokens => "use a token that there is, or revoke one",
            LimitName::Environments => "use an environment that there is",
            LimitName::Apps => "use an app that there is, or delete one",
            LimitName::Runners => "register under a name that there is, or forget a runner that is gone",
            LimitName::LogBytesPerRun => "write less to the log",
            LimitName::ArtifactBytes => "leave less, or keep it elsewhere",
            LimitName::StorageBytes => "delete artifacts or runs that are no longer needed",
            LimitName::LongPolls => "wait with fewer requests at a time",
            LimitName::Streams => "follow fewer streams at a time",
        };
        let Self { name, limit } = self;
        write!(
            f,
            "the team is at its limit {name} of {limit}: {way_out}; the server's administrator may allow more"
        )
    }
}

/// A rate of calls: the generic cell rate algorithm (ITU-T I.371, annex A).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Rate {
    /// When all calls so far would have come, had they come evenly, in nanoseconds.
    due: i128,
}

const SECOND: i128 = 1_000_000_000;

impl Rate {
    /// Counts a call; those of a second may come at once. Err: it comes too early, by so much.
    pub fn take(&mut self, per_second: u64, now: Timestamp) -> Result<(), Duration> {
        self.take_of(per_second, per_second, now)
    }

    /// The same where `burst` calls may come at once.
    pub fn take_of(&mut self, per_second: u64, burst: u64, now: Timestamp) -> Result<(), Duration> {
        let (now, each) = (nanoseconds(now), SECOND / i128::from(per_second.max(1)));
        let due = self.due.max(now) + each;
        let early = due - now - each * i128::from(burst.max(1));
        if early > 0 {
            return Err(Duration::from_nanos(u64::try_from(early).unwrap_or(u64::MAX)));
        }
        self.due = due;
        Ok(())
    }

    /// Whether it is as if no call had ever come.
    #[must_use]
    pub fn is_at_rest(&self, now: Timestamp) -> bool {
        self.due <= nanoseconds(now)
    }

    /// How many calls count now.
    #[must_use]
    pub fn used(&self, per_second: u64, now: Timestamp) -> u64 {
        let ahead = (self.due - nanoseconds(now)).max(0);
        u64::try_from(ahead * i128::from(per_second) / SECOND).unwrap_or(u64::MAX)
    }
}

fn nanoseconds(at: Timestamp) -> i128 {
    i128::from(at.0) * 1_000_000
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    fn limits() -> Limits {
        Limits::new(Defaults::with_storage(None))
    }

    #[test]
    fn the_operator_allows_and_the_team_chooses_within_it() {
        use LimitName::Apps;
        let limits = limits();
        assert_eq!((limits.of(Apps), limits.allowed(Apps)), (1_000, 1_000));
        let chosen = limits.choose(Apps, Some(10)).unwrap();
        assert_eq!((chosen.of(Apps), chosen.allowed(Apps)), (10, 1_000));
        let error = limits.choose(Apps, Some(1_001)).unwrap_err().to_string();
        assert!(error.contains("apps") && error.contains("1001") && error.contains("1000"), "{error}");
        let more = chosen.allow(Apps, Some(2_000)).unwrap();
        assert_eq!(more.of(Apps), 10, "the choice stays");
        assert_eq!(more.choose(Apps, None).unwrap().of(Apps), 2_000, "all that is allowed");
        assert_eq!(more.allow(Apps, Some(3)).unwrap().of(Apps), 3, "a choice never exceeds what is allowed");
        assert_eq!(more.allow(Apps, None).unwrap().allowed(Apps), 1_000, "the default");
    }

    #[test]
    fn every_default_is_within_its_bounds() {
        for name in LimitName::ALL {
            let Range { default, least, most } = range(*name);
            assert!(least <= default && default <= most && most <= LARGEST, "{name}");
            assert_eq!(limits().of(*name), default);
        }
        let storage = Limits::new(Defaults::with_storage(Some(7)));
        assert_eq!(storage.of(LimitName::StorageBytes), 7);
    }

    #[rstest]
    #[case(LimitName::RequestsPerSecond, 0)]
    #[case(LimitName::Tokens, 0)]
    #[case(LimitName::Apps, MOST_ROWS + 1)]
    #[case(LimitName::LogBytesPerRun, 1)]
    #[case(LimitName::QueuedRuns, LARGEST + 1)]
    fn what_makes_no_sense_is_refused_by_name(#[case] name: LimitName, #[case] value: u64) {
        for error in [limits().allow(name, Some(value)), limits().choose(name, Some(value))] {
            let error = error.unwrap_err().to_string();
            assert!(error.contains(name.as_str()) && error.contains(&value.to_string()), "{error}");
        }
    }

    #[test]
    fn a_team_is_at_a_limit_when_it_has_used_it_up() {
        let limits = limits().choose(LimitName::Apps, Some(2)).unwrap();
        assert_eq!(limits.take(LimitName::Apps, 1), Ok(()));
        let reached = limits.take(LimitName::Apps, 2).unwrap_err().to_string();
        assert!(reached.contains("apps of 2"), "{reached}");
    }

    #[test]
    fn a_burst_has_the_calls_of_one_second_and_then_the_rate_holds() {
        let mut rate = Rate::default();
        let start = Timestamp(1_000_000);
        for _ in 0..10 {
            rate.take(10, start).unwrap();
        }
        assert_eq!(rate.used(10, start), 10);
        assert_eq!(rate.take(10, start), Err(Duration::from_millis(100)));
        let mut taken = 0;
        for millisecond in 1..=3_000 {
            taken += u64::from(rate.take(10, Timestamp(start.0 + millisecond)).is_ok());
        }
        assert_eq!(taken, 30);
        assert_eq!(rate.used(10, Timestamp(start.0 + 60_000)), 0);
    }
}
