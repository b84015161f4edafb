use super::*;
use crate::domain::moves::run_in;

fn fields(status: RunStatus) -> RunFields {
    RunFields {
        status,
        cancel_requested: true,
        blocked_by: Some(Blocked::Backoff),
        not_before: Some(Timestamp(2)),
        started_at: Some(Timestamp(3)),
        finished_at: Some(Timestamp(4)),
        exit_code: Some(5),
        error_message: Some("six".to_owned()),
    }
}

#[test]
fn each_state_has_its_own_fields_and_no_others() {
    for status in RunStatus::ALL {
        let state = RunState::try_from(fields(status)).unwrap();
        assert_eq!(state.status(), status);
        assert_eq!(state.first_started_at(), Some(Timestamp(3)), "{status:?}");
        let queued = status == RunStatus::Queued;
        assert_eq!(state.not_before(), queued.then_some(Timestamp(2)), "{status:?}");
        assert_eq!(state.is_backing_off(), queued, "{status:?}");
        let asked = matches!(status, RunStatus::Cancelling | RunStatus::Cancelled);
        assert_eq!(state.is_cancel_requested(), asked, "{status:?}");
        let end = RunEnd {
            first_started_at: Some(Timestamp(3)),
            finished_at: Timestamp(4),
            exit_code: Some(5),
            error_message: Some("six".to_owned()),
        };
        assert_eq!(state.end(), status.is_terminal().then_some(&end), "{status:?}");
    }
}

#[test]
fn a_runner_may_report_a_cancel_that_nobody_asked_for() {
    let of_its_own_accord = RunFields { cancel_requested: false, ..fields(RunStatus::Cancelled) };
    assert!(!RunState::try_from(of_its_own_accord).unwrap().is_cancel_requested());
}

#[test]
fn a_state_without_what_belongs_to_it_cannot_be_built() {
    for status in RunStatus::ALL {
        let endless = RunState::try_from(RunFields { finished_at: None, ..fields(status) });
        let field = "finished_at";
        let expected = status.is_terminal().then_some(Incomplete { status: status.as_str(), field });
        assert_eq!(endless.err(), expected);
        let unstarted = RunState::try_from(RunFields { started_at: None, ..fields(status) });
        let field = "started_at";
        let expected = (status == RunStatus::Running).then_some(Incomplete { status: "running", field });
        assert_eq!(unstarted.err(), expected);
    }
    assert_eq!(
        Incomplete { status: "dead", field: "finished_at" }.to_string(),
        "it is dead but has no finished_at"
    );
}

#[test]
fn a_new_run_is_ready_and_only_a_queued_one_is() {
    let new = RunProgress::queued(3, Timestamp(7));
    assert!(new.state.is_ready() && !new.state.is_backing_off());
    assert_eq!(
        (new.status(), new.queued_at, new.retries),
        (RunStatus::Queued, Timestamp(7), RetryBudget::new(3))
    );
    for status in RunStatus::ALL {
        assert_eq!(run_in(status).is_ready(), status == RunStatus::Queued);
        assert!(!run_in(status).is_backing_off());
    }
    let waits = RunState::Queued { wait: Wait::Until(Timestamp(0)), first_started_at: None };
    assert!(!waits.is_ready() && waits.is_backing_off());
}
