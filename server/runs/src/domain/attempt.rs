//! An attempt at a run and its state machine.
//!
//! `leased → running → completed | failed | cancelled`; `leased | running → cancelling → cancelled`; `leased | running → expired`;
//! `leased | running → released`. The moves are made in [`crate::domain::lease`]; here is which of them exist at all.

use std::time::Duration;

use minitower_vocabulary::ids::{AttemptId, RunId, RunnerId};
use minitower_vocabulary::statuses::{AttemptStatus, ResultReason};
use minitower_vocabulary::time::Timestamp;

/// What put an end to an attempt. A result accepted under a lease is answered by the result rule for ever, any other end makes
/// the lease stale; the status alone does not tell, since a cancelling attempt ends `cancelled` either way.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum EndedBy {
    /// The runner's result.
    Result,
    /// The lease ran out.
    Expiry,
    /// The runner gave the run back.
    Release,
    /// Somebody who knows said that the process has ended, or its successor did.
    ProcessEnd,
}

impl EndedBy {
    const ALL: [Self; 4] = [Self::Result, Self::Expiry, Self::Release, Self::ProcessEnd];

    /// The word in the database.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Result => "result",
            Self::Expiry => "expiry",
            Self::Release => "release",
            Self::ProcessEnd => "process_end",
        }
    }

    /// The end of that name.
    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|s| s.as_str() == text)
    }
}

/// What the rules read and change of an attempt.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct AttemptState {
    /// Where it stands.
    pub status: AttemptStatus,
    /// The lease is dead from this moment on, reaped or not.
    pub lease_expires_at: Timestamp,
    /// Full length of the lease as last granted.
    pub lease_ttl: Duration,
    /// The process it was leased to, when its poll named one.
    pub instance_id: Option<String>,
    /// The poll it was leased to, when it named itself.
    pub request_id: Option<String>,
    /// Its start.
    pub started_at: Option<Timestamp>,
    /// Its end.
    pub finished_at: Option<Timestamp>,
    /// What ended it.
    pub ended_by: Option<EndedBy>,
    /// The job's exit code.
    pub exit_code: Option<i64>,
    /// Why it ended badly.
    pub error_message: Option<String>,
    /// What ended the job.
    pub reason: Option<ResultReason>,
}

impl AttemptState {
    /// A fresh attempt, leased at `now`.
    pub fn leased(
        instance_id: Option<String>,
        request_id: Option<String>,
        ttl: Duration,
        now: Timestamp,
    ) -> Self {
        Self {
            status: AttemptStatus::Leased,
            lease_expires_at: now.plus(ttl),
            lease_ttl: ttl,
            instance_id,
            request_id,
            started_at: None,
            finished_at: None,
            ended_by: None,
            exit_code: None,
            error_message: None,
            reason: None,
        }
    }

    /// Whether a call under this lease may act: the attempt is active and its lease has not run out.
    pub fn is_live(&self, now: Timestamp) -> bool {
        self.status.is_active() && now < self.lease_expires_at
    }
}

/// An attempt at a run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Attempt {
    /// Its id.
    pub id: AttemptId,
    /// The run.
    pub run_id: RunId,
    /// 1, 2, 3 … within the run.
    pub number: i64,
    /// Its runner; none once that runner was forgotten.
    pub runner_id: Option<RunnerId>,
    /// That runner's name, kept for ever.
    pub runner_name: String,
    /// When the runner got it.
    pub leased_at: Timestamp,
    /// Where it stands.
    pub state: AttemptState,
    /// Counts the changes of the row, so that a stale decision is never saved.
    pub row_version: i64,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_round_trip() {
        for s in EndedBy::ALL {
            assert_eq!(EndedBy::parse(s.as_str()), Some(s));
        }
    }

    #[test]
    fn a_lease_is_dead_from_its_expiry_on() {
        let state = AttemptState::leased(None, None, Duration::from_secs(60), Timestamp(0));
        assert!(state.is_live(Timestamp(59_999)));
        assert!(!state.is_live(Timestamp(60_000)));
    }
}
