//! What a retry policy asks for, and backoffs.

use super::*;

fn with_policy(before: Held, on: &[Failure], (max, used): (i64, i64)) -> Held {
    let policy = Some(RetryPolicy::new(on, 1000, 2000, 10_000));
    Held { run: RunProgress { retries: RetryBudget { max, used }, policy, ..before.run }, ..before }
}

pub(super) fn failed(reason: ResultReason, jitter: Jitter) -> Command {
    let (exit_code, error_message) = (Some(1), Some("it failed".to_owned()));
    Command::Result(
        Outcome { status: ResultStatus::Failed, exit_code, error_message, reason: Some(reason) },
        jitter,
    )
}

#[rstest]
#[case(ResultReason::Exit, Failure::Failed)]
#[case(ResultReason::Signal, Failure::Failed)]
#[case(ResultReason::Setup, Failure::Failed)]
#[case(ResultReason::Timeout, Failure::Timeout)]
fn a_failure_that_is_retried_ends_the_attempt_and_queues_the_run_for_later(
    #[case] reason: ResultReason,
    #[case] failure: Failure,
    #[values(leased(), running())] before: Held,
) {
    let before = with_policy(before, &[failure], (3, 1));
    let after = decide(&before, &failed(reason, Jitter::NONE), NOW).unwrap();
    assert_eq!(statuses(&after), (RunStatus::Queued, AttemptStatus::Failed));
    let at = NOW.plus(Duration::from_secs(2));
    assert_eq!(
        (after.run.queued_at, after.run.state.not_before(), after.run.retries.used),
        (at, Some(at), 2)
    );
    assert_eq!(after.run.state.end(), None);
    let job = after.attempt.job().unwrap();
    assert_eq!((job.exit_code, job.reason, after.attempt.finished_at()), (Some(1), Some(reason), Some(NOW)));
    assert_eq!(after.attempt.error_message(), Some("it failed"));
    assert_eq!(after.attempt.ended_by(), Some(EndedBy::Result));

    // Lengthened by the jitter that was given, and answered the same for ever, with whatever jitter.
    let longest = decide(&before, &failed(reason, Jitter::MOST), NOW).unwrap();
    assert_eq!(longest.run.state.not_before(), Some(NOW.plus(Duration::from_millis(2400))));
    assert_eq!(decide(&after, &failed(reason, Jitter::MOST), Timestamp(99_999_999)).unwrap(), after);
    assert_eq!(decide(&after, &result_of(ResultStatus::Completed), NOW), Err(Refusal::OtherResult));
}

#[rstest]
#[case::not_named(ResultReason::Exit, &[Failure::Timeout, Failure::Lost], (3, 0))]
#[case::timeout_not_named(ResultReason::Timeout, &[Failure::Failed, Failure::Lost], (3, 0))]
#[case::used_up(ResultReason::Exit, &Failure::ALL, (2, 2))]
#[case::one_attempt(ResultReason::Setup, &Failure::ALL, (0, 0))]
fn a_failure_that_is_not_retried_ends_the_run_at_once(
    #[case] reason: ResultReason,
    #[case] on: &[Failure],
    #[case] budget: (i64, i64),
) {
    let before = with_policy(running(), on, budget);
    let after = decide(&before, &failed(reason, Jitter::MOST), NOW).unwrap();
    assert_eq!(statuses(&after), (RunStatus::Failed, AttemptStatus::Failed));
    assert_eq!((after.run.retries, after.run.state.not_before()), (before.run.retries, None));
    let end = after.run.state.end().unwrap();
    assert_eq!((end.exit_code, end.finished_at), (Some(1), NOW));
    assert_eq!(end.error_message.as_deref(), Some("it failed"));
}

#[test]
fn what_ended_well_or_by_a_cancel_is_never_retried() {
    let before = with_policy(running(), &Failure::ALL, (3, 0));
    for (status, run) in
        [(ResultStatus::Completed, RunStatus::Completed), (ResultStatus::Cancelled, RunStatus::Cancelled)]
    {
        assert_eq!(decide(&before, &result_of(status), NOW).unwrap().run.status(), run);
    }
    let cancelling = with_policy(cancelling(), &Failure::ALL, (3, 0));
    assert_eq!(decide(&cancelling, &failed(ResultReason::Exit, Jitter::NONE), NOW), Err(Refusal::Cancelling));
}

#[test]
fn a_lost_run_is_queued_at_once_when_its_policy_names_losses_and_is_dead_when_not() {
    for (command, at) in [(Command::Expire, Timestamp(60_000)), (end("me"), NOW)] {
        let named = with_policy(running(), &[Failure::Lost], (3, 1));
        let after = decide(&named, &command, at).unwrap();
        assert_eq!(statuses(&after), (RunStatus::Queued, AttemptStatus::Expired));
        assert_eq!(
            (after.run.queued_at, after.run.state.not_before(), after.run.retries.used),
            (at, None, 2)
        );
        let other = with_policy(running(), &[Failure::Failed, Failure::Timeout], (3, 1));
        let after = decide(&other, &command, at).unwrap();
        assert_eq!(statuses(&after), (RunStatus::Dead, AttemptStatus::Expired));
        assert_eq!(after.run.retries.used, 1);
    }
}

#[test]
fn a_release_keeps_place_and_budget_under_a_policy_too() {
    let before = with_policy(running(), &Failure::ALL, (3, 1));
    let after = decide(&before, &Command::Release, NOW).unwrap();
    assert_eq!((after.run.queued_at, after.run.retries), (before.run.queued_at, before.run.retries));
    assert!(after.run.state.is_ready());
}

#[test]
fn a_retry_without_a_backoff_is_ready_at_once() {
    let mut before = running();
    before.run.policy = Some(RetryPolicy::new(&Failure::ALL, 0, 1_000, 0));
    let after = decide(&before, &result_of(ResultStatus::Failed), NOW).unwrap();
    assert_eq!(
        (after.run.status(), after.run.state.not_before(), after.run.queued_at),
        (RunStatus::Queued, None, NOW)
    );
}

fn backing_off(until: Timestamp) -> RunProgress {
    let policy = Some(RetryPolicy::new(&Failure::ALL, 1000, 2000, 10_000));
    let state = RunState::Queued { wait: Wait::Until(until), first_started_at: Some(Timestamp(3)) };
    RunProgress { policy, queued_at: until, state, ..RunProgress::queued(3, Timestamp(0)) }
}

#[test]
fn a_run_wakes_once_its_backoff_has_passed_and_keeps_its_place() {
    let run = backing_off(NOW);
    assert_eq!(wake(&run, Timestamp(NOW.0 - 1)), None);
    for late in [NOW, Timestamp(NOW.0 + 1_000_000)] {
        let woken = wake(&run, late).unwrap();
        assert!(woken.state.is_ready() && !woken.state.is_backing_off());
        assert_eq!(woken.state.first_started_at(), Some(Timestamp(3)));
        assert_eq!(woken.queued_at, NOW);
        assert_eq!(wake(&woken, late), None, "once");
    }
    for status in RunStatus::ALL {
        let other = run.clone().into_state(run_in(status));
        assert_eq!(wake(&other, NOW), None, "{status:?}");
    }
}

#[test]
fn a_cancel_during_the_backoff_ends_the_run_at_once() {
    let after = cancel_unheld(backing_off(Timestamp(99_000)), NOW).unwrap();
    assert_eq!((after.status(), finished_at(&after)), (RunStatus::Cancelled, Some(NOW)));
    assert!(after.state.is_cancel_requested());
    assert_eq!(after.state.first_started_at(), Some(Timestamp(3)));
}

#[test]
fn after_a_restart_no_backoff_ends_further_away_than_its_policy_allows() {
    let most = NOW.plus(Duration::from_secs(12));
    for kept in [backing_off(most), backing_off(Timestamp(most.0 - 1))] {
        assert_eq!(backoff_after_restart(kept.clone(), NOW), kept, "none is prolonged");
    }
    let cut = backoff_after_restart(backing_off(Timestamp(most.0 + 1)), NOW);
    assert_eq!((cut.state.not_before(), cut.queued_at), (Some(most), most));
    let ready = RunProgress::queued(3, Timestamp(99_000_000));
    assert_eq!(backoff_after_restart(ready.clone(), NOW), ready);
}
