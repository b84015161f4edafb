//! When a run is late, and when it has waited too long.

use std::time::Duration;

use minitower_vocabulary::statuses::RunStatus;
use minitower_vocabulary::time::Timestamp;

/// What an app says about its runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Expected {
    /// How long a run takes at most, from its first start on.
    pub takes: Option<Duration>,
    /// How long it is queued at most.
    pub waits: Option<Duration>,
}

/// Where a run stands, as far as it matters here.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Standing {
    /// Its status.
    pub status: RunStatus,
    /// Since when it is queued, or was when it was leased.
    pub queued_at: Timestamp,
    /// When it was first started.
    pub started_at: Option<Timestamp>,
}

impl Expected {
    /// What an app says in seconds.
    pub fn of_seconds(takes: Option<i64>, waits: Option<i64>) -> Self {
        let seconds = |seconds: Option<i64>| Some(Duration::from_secs(u64::try_from(seconds?).ok()?));
        Self { takes: seconds(takes), waits: seconds(waits) }
    }

    /// When the run is late; none: never, as it stands.
    pub fn late_at(&self, run: Standing) -> Option<Timestamp> {
        if run.status.is_terminal() {
            return None;
        }
        Some(run.started_at?.plus(self.takes?))
    }

    /// When the run has waited too long; none: never, as it stands.
    pub fn waited_at(&self, run: Standing) -> Option<Timestamp> {
        (run.status == RunStatus::Queued).then_some(run.queued_at.plus(self.waits?))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn standing(status: RunStatus) -> Standing {
        Standing { status, queued_at: Timestamp(1000), started_at: Some(Timestamp(5000)) }
    }

    #[test]
    fn a_run_is_late_from_its_first_start_on_and_waits_while_it_is_queued() {
        let expected = Expected::of_seconds(Some(10), Some(2));
        for status in RunStatus::ALL {
            let (late, waited) = (expected.late_at(standing(status)), expected.waited_at(standing(status)));
            assert_eq!(late, (!status.is_terminal()).then_some(Timestamp(15_000)), "{status:?}");
            assert_eq!(waited, (status == RunStatus::Queued).then_some(Timestamp(3_000)), "{status:?}");
        }
        let fresh = Standing { started_at: None, ..standing(RunStatus::Queued) };
        assert_eq!(expected.late_at(fresh), None);
    }

    #[test]
    fn an_app_that_says_nothing_expects_nothing() {
        let nothing = Expected::of_seconds(None, None);
        assert_eq!(nothing.late_at(standing(RunStatus::Running)), None);
        assert_eq!(nothing.waited_at(standing(RunStatus::Queued)), None);
    }
}
