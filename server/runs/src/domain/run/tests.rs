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

#[test]
fn a_run_that_waits_says_for_what_in_one_word() {
    for (wait, word) in [
        (Wait::After, "after"),
        (Wait::Until(Timestamp(9)), "backoff"),
        (Wait::Disabled, "disabled"),
        (Wait::Limit, "limit"),
    ] {
        let state = RunState::Queued { wait, first_started_at: None };
        let reason = state.blocked_by().unwrap();
        assert_eq!((reason.as_str(), Blocked::parse(word)), (word, Some(reason)));
    }
    assert_eq!((RunProgress::queued(0, Timestamp(1)).state.blocked_by(), Blocked::parse("x")), (None, None));
}

#[test]
fn a_run_counts_its_row_its_input_and_its_labels_as_often_as_they_are_stored() {
    assert_eq!(counted(0, None), 1024);
    assert_eq!(counted(500, Some("12345")), 1024 + 500 + 15);
    let text = "x".repeat(500);
    let run = Run {
        id: RunId(1),
        team_id: TeamId(1),
        app_id: AppId(1),
        app_slug: "a".to_owned(),
        number: 1,
        version_id: VersionId(1),
        version_number: 1,
        environment_id: EnvironmentId(1),
        environment: "default".to_owned(),
        input: Some(Input::Text(text)),
        hidden_parameters: None,
        output: None,
        labels: Some("12345".to_owned()),
        retry_of: None,
        priority: 0,
        timeout_seconds: None,
        concurrency: None,
        awaited: false,
        after: None,
        created_at: Timestamp(1),
        runner: None,
        attempts: 0,
        progress: RunProgress::queued(0, Timestamp(1)),
        row_version: 0,
        deleted: false,
    };
    assert_eq!(run.counted(), 1539);
}
