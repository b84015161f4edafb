//! What a poll has started, before and after anybody has heard of it.

use super::*;

/// Leased and started by the poll named `poll`, of a run that an earlier attempt started at that moment.
fn started(first_started_at: Option<Timestamp>) -> Held {
    let started_at = Timestamp(5);
    let run = RunProgress::queued(1, Timestamp(0));
    let first_started_at = first_started_at.unwrap_or(started_at);
    Held {
        run: run.into_state(RunState::Running { first_started_at }),
        lease: Lease::granted(Some("me".to_owned()), Some("poll".to_owned()), TTL, Timestamp(0)),
        attempt: AttemptState::Running { started_at },
    }
}

fn sign_off(given_up: Option<&str>) -> Command {
    Command::SignOff { given_up: given_up.map(str::to_owned) }
}

#[rstest]
#[case(Command::Start)]
#[case(Command::Heartbeat { ttl: TTL })]
#[case(Command::Logs)]
fn the_first_call_says_that_the_answer_was_heard(#[case] call: Command) {
    let before = started(None);
    let after = decide(&before, &call, NOW).unwrap();
    assert_eq!(after.lease.request_id, None);
    assert_eq!((&after.run, &after.attempt), (&before.run, &before.attempt));
    assert_eq!(decide(&after, &sign_off(Some("poll")), NOW).unwrap(), after, "it may be under way");
    let cancelling = decide(&before, &Command::Cancel, NOW).unwrap();
    assert_eq!(decide(&cancelling, &call, NOW).unwrap().lease.request_id, None);
}

#[test]
fn what_is_only_leased_may_be_asked_for_again_until_it_is_started() {
    let before = Held { lease: started(None).lease, ..leased() };
    for call in [Command::Heartbeat { ttl: TTL }, Command::Logs, Command::Artifact] {
        assert_eq!(decide(&before, &call, NOW).unwrap().lease.request_id, before.lease.request_id);
    }
    assert_eq!(decide(&before, &Command::Start, NOW).unwrap().lease.request_id, None);
}

#[rstest]
#[case::never_before(None)]
#[case::before(Some(Timestamp(3)))]
fn what_nobody_heard_of_was_never_started(#[case] before: Option<Timestamp>) {
    for command in [Command::TakeBack, sign_off(Some("poll"))] {
        let after = decide(&started(before), &command, NOW).unwrap();
        let state = RunState::Queued { wait: Wait::Nothing, first_started_at: before };
        assert_eq!(after.run, started(before).run.into_state(state), "the place and the retries stay");
        assert_eq!(
            after.attempt,
            AttemptState::Released { span: Span { started_at: None, finished_at: NOW } }
        );

        let cancelling = decide(&started(before), &Command::Cancel, NOW).unwrap();
        let after = decide(&cancelling, &command, NOW).unwrap();
        assert_eq!(statuses(&after), (RunStatus::Cancelled, AttemptStatus::Cancelled));
        assert_eq!((after.run.state.first_started_at(), after.attempt.started_at()), (before, None));
    }
}

#[test]
fn a_sign_off_leaves_alone_what_may_be_under_way() {
    for given_up in [None, Some("another")] {
        assert_eq!(decide(&started(None), &sign_off(given_up), NOW).unwrap(), started(None));
    }
    let cancelling = decide(&running(), &Command::Cancel, NOW).unwrap();
    for held in [running(), cancelling] {
        let unnamed = Held { lease: held.lease.clone().heard(), ..held };
        assert_eq!(decide(&unnamed, &sign_off(None), NOW).unwrap(), unnamed);
        assert_eq!(decide(&unnamed, &sign_off(Some("poll")), Timestamp(60_000)).unwrap(), unnamed);
    }
}

#[test]
fn a_sign_off_gives_back_what_was_not_started_and_counts_what_had_run_out() {
    let after = decide(&leased(), &sign_off(None), NOW).unwrap();
    assert_eq!(after, decide(&leased(), &Command::Release, NOW).unwrap());
    for held in [leased(), started(None)] {
        let after = decide(&held, &sign_off(Some("poll")), Timestamp(60_000)).unwrap();
        assert_eq!(after, decide(&held, &Command::Expire, Timestamp(60_000)).unwrap());
    }
    let done = ended(AttemptStatus::Completed, RunStatus::Completed, EndedBy::Result);
    assert_eq!(decide(&done, &sign_off(None), NOW).unwrap(), done);
}

#[test]
fn a_result_of_what_the_poll_started_ends_it() {
    let after = decide(&started(None), &result_of(ResultStatus::Completed), NOW).unwrap();
    assert_eq!(statuses(&after), (RunStatus::Completed, AttemptStatus::Completed));
    assert_eq!(after.attempt.started_at(), Some(Timestamp(5)));
}
