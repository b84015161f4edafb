//! The two tables of moves, as the protocol's description has them, and a state of each status. The rules do not use them: the tests
//! compare what the rules do.

use minitower_vocabulary::statuses::{AttemptStatus, RunStatus};
use minitower_vocabulary::time::Timestamp;

use crate::domain::attempt::{AttemptFields, AttemptState, EndedBy};
use crate::domain::run::{RunFields, RunState};

/// A run's state of that status.
pub(crate) fn run_in(status: RunStatus) -> RunState {
    let fields = RunFields {
        status,
        cancel_requested: status == RunStatus::Cancelling,
        blocked_by: None,
        not_before: None,
        started_at: (status == RunStatus::Running).then_some(Timestamp(1)),
        finished_at: status.is_terminal().then_some(Timestamp(1)),
        exit_code: None,
        error_message: None,
    };
    RunState::try_from(fields).unwrap()
}

/// An attempt's state of that status, which has ended by `by` if it has ended.
pub(crate) fn attempt_in(status: AttemptStatus, by: EndedBy) -> AttemptState {
    let fields = AttemptFields {
        status,
        started_at: (status == AttemptStatus::Running).then_some(Timestamp(1)),
        finished_at: (!status.is_active()).then_some(Timestamp(1)),
        ended_by: (!status.is_active()).then_some(by),
        exit_code: None,
        error_message: None,
        reason: None,
    };
    AttemptState::try_from(fields).unwrap()
}

/// Whether any event leads a run from one status to another.
pub(crate) const fn run_may_become(from: RunStatus, to: RunStatus) -> bool {
    use RunStatus::{Cancelled, Cancelling, Completed, Dead, Failed, Leased, Queued, Running};
    match from {
        Queued => matches!(to, Leased | Cancelled),
        Leased => matches!(to, Running | Cancelling | Completed | Failed | Cancelled | Queued | Dead),
        Running => matches!(to, Cancelling | Completed | Failed | Cancelled | Queued | Dead),
        Cancelling => matches!(to, Cancelled),
        Completed | Failed | Cancelled | Dead => false,
    }
}

/// Whether any event leads an attempt from one status to another.
pub(crate) const fn attempt_may_become(from: AttemptStatus, to: AttemptStatus) -> bool {
    use AttemptStatus::{Cancelled, Cancelling, Completed, Expired, Failed, Leased, Released, Running};
    match from {
        Leased => {
            matches!(to, Running | Cancelling | Completed | Failed | Cancelled | Expired | Released)
        }
        Running => matches!(to, Cancelling | Completed | Failed | Cancelled | Expired | Released),
        Cancelling => matches!(to, Cancelled),
        Completed | Failed | Cancelled | Expired | Released => false,
    }
}

#[test]
fn what_has_ended_never_moves() {
    for from in RunStatus::ALL.into_iter().filter(|status| status.is_terminal()) {
        for to in RunStatus::ALL {
            assert!(!run_may_become(from, to), "{from:?} → {to:?}");
        }
    }
    for from in AttemptStatus::ALL.into_iter().filter(|status| !status.is_active()) {
        for to in AttemptStatus::ALL {
            assert!(!attempt_may_become(from, to), "{from:?} → {to:?}");
        }
    }
}

#[test]
fn every_state_but_the_first_can_be_reached_and_every_live_one_can_end() {
    for to in RunStatus::ALL.into_iter().filter(|status| *status != RunStatus::Queued) {
        assert!(RunStatus::ALL.into_iter().any(|from| run_may_become(from, to)), "{to:?}");
    }
    for from in RunStatus::ALL.into_iter().filter(|status| !status.is_terminal()) {
        let ends = |to: RunStatus| to.is_terminal() && run_may_become(from, to);
        assert!(RunStatus::ALL.into_iter().any(ends), "{from:?}");
    }
}
