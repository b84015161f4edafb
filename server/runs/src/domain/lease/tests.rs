//! Every (state, command) pair of the lease protocol, and properties over random sequences.

use proptest::prelude::*;
use rstest::rstest;

use super::*;
use crate::domain::claim::{self, Poll};
use crate::domain::moves::{attempt_in, attempt_may_become, run_in, run_may_become};
use crate::domain::retry::{RetryBudget, RetryPolicy};

mod policies;
mod unheard;

use self::policies::failed;

const TTL: Duration = Duration::from_secs(60);
const NOW: Timestamp = Timestamp(10_000);

fn held(attempt: AttemptStatus, run: RunStatus) -> Held {
    ended(attempt, run, EndedBy::Result)
}

/// The rules, asked without giving away what they are asked about.
fn decide(held: &Held, command: &Command, now: Timestamp) -> Result<Held, Refusal> {
    super::decide(held.clone(), command.clone(), now)
}

fn leased() -> Held {
    held(AttemptStatus::Leased, RunStatus::Leased)
}
fn running() -> Held {
    held(AttemptStatus::Running, RunStatus::Running)
}
fn cancelling() -> Held {
    held(AttemptStatus::Cancelling, RunStatus::Cancelling)
}
fn ended(status: AttemptStatus, run: RunStatus, by: EndedBy) -> Held {
    Held {
        run: RunProgress::queued(1, Timestamp(0)).into_state(run_in(run)),
        lease: Lease::granted(Some("me".to_owned()), None, TTL, Timestamp(0)),
        attempt: attempt_in(status, by),
    }
}

fn result_of(status: ResultStatus) -> Command {
    Command::Result(Outcome { status, exit_code: Some(0), error_message: None, reason: None }, Jitter::NONE)
}
fn end(instance: &str) -> Command {
    Command::End { instance_id: instance.to_owned(), reason: "OOMKilled".to_owned() }
}

fn runner_calls() -> Vec<Command> {
    vec![
        Command::Start,
        Command::Heartbeat { ttl: TTL },
        Command::Logs,
        Command::Artifact,
        Command::Release,
        Command::TakeBack,
        result_of(ResultStatus::Completed),
        result_of(ResultStatus::Failed),
        result_of(ResultStatus::Cancelled),
    ]
}

fn statuses(held: &Held) -> (RunStatus, AttemptStatus) {
    (held.run.status(), held.attempt.status())
}

#[test]
fn start_begins_once_and_repeats_its_answer() {
    let first = decide(&leased(), &Command::Start, NOW).unwrap();
    assert_eq!(statuses(&first), (RunStatus::Running, AttemptStatus::Running));
    assert_eq!((first.run.state.first_started_at(), first.attempt.started_at()), (Some(NOW), Some(NOW)));
    assert_eq!(first.lease.expires_at, Timestamp(60_000), "start does not extend the lease");
    assert_eq!(decide(&first, &Command::Start, Timestamp(11_000)).unwrap(), first);
    assert_eq!(decide(&cancelling(), &Command::Start, NOW).unwrap(), cancelling());
}

#[test]
fn started_at_of_a_run_is_its_first_start() {
    let mut again = leased();
    again.run.state = RunState::Leased { first_started_at: Some(Timestamp(3)) };
    let after = decide(&again, &Command::Start, NOW).unwrap();
    assert_eq!(
        (after.run.state.first_started_at(), after.attempt.started_at()),
        (Some(Timestamp(3)), Some(NOW))
    );
}

#[rstest]
#[case(leased())]
#[case(running())]
#[case(cancelling())]
fn heartbeat_extends_and_changes_nothing_else(#[case] before: Held) {
    let after = decide(&before, &Command::Heartbeat { ttl: TTL }, NOW).unwrap();
    assert_eq!(after.lease.expires_at, NOW.plus(TTL));
    assert_eq!((&after.run, &after.attempt), (&before.run, &before.attempt));
    let shorter = decide(&after, &Command::Heartbeat { ttl: Duration::from_secs(1) }, NOW).unwrap();
    assert_eq!(shorter.lease.expires_at, NOW.plus(TTL), "never shorter than was promised");
    assert_eq!(shorter.lease.ttl, Duration::from_secs(1), "the length that is in use from now on");
}

#[rstest]
#[case(ResultStatus::Completed, RunStatus::Completed)]
#[case(ResultStatus::Failed, RunStatus::Failed)]
#[case(ResultStatus::Cancelled, RunStatus::Cancelled)]
fn the_first_result_wins_and_is_answered_the_same_for_ever(
    #[case] status: ResultStatus,
    #[case] run: RunStatus,
) {
    for before in [leased(), running()] {
        let after = decide(&before, &result_of(status), NOW).unwrap();
        assert_eq!(statuses(&after), (run, status.attempt()));
        assert_eq!((finished_at(&after.run), after.attempt.finished_at()), (Some(NOW), Some(NOW)));
        // Long after the lease has run out.
        let later = Timestamp(10_000_000);
        assert_eq!(decide(&after, &result_of(status), later).unwrap(), after);
        for other in [ResultStatus::Completed, ResultStatus::Failed, ResultStatus::Cancelled] {
            if other != status {
                assert_eq!(decide(&after, &result_of(other), later), Err(Refusal::OtherResult));
            }
        }
    }
}

#[test]
fn a_result_is_kept_with_all_that_it_says() {
    let outcome = Outcome {
        status: ResultStatus::Failed,
        exit_code: Some(7),
        error_message: Some("out of memory".to_owned()),
        reason: Some(ResultReason::Timeout),
    };
    let after = decide(&running(), &Command::Result(outcome, Jitter::NONE), NOW).unwrap();
    let (end, job) = (after.run.state.end().unwrap(), after.attempt.job().unwrap());
    assert_eq!((end.exit_code, job.exit_code), (Some(7), Some(7)));
    assert_eq!(end.error_message.as_deref(), Some("out of memory"));
    assert_eq!(after.attempt.error_message(), Some("out of memory"));
    assert_eq!(job.reason, Some(ResultReason::Timeout));
}

#[test]
fn once_cancelling_the_outcome_can_only_be_cancelled() {
    for status in [ResultStatus::Completed, ResultStatus::Failed] {
        assert_eq!(decide(&cancelling(), &result_of(status), NOW), Err(Refusal::Cancelling));
    }
    let after = decide(&cancelling(), &result_of(ResultStatus::Cancelled), NOW).unwrap();
    assert_eq!(statuses(&after), (RunStatus::Cancelled, AttemptStatus::Cancelled));
    for command in [Command::Release, end("me")] {
        let after = decide(&cancelling(), &command, NOW).unwrap();
        assert_eq!(statuses(&after), (RunStatus::Cancelled, AttemptStatus::Cancelled));
    }
    let after = decide(&cancelling(), &Command::Expire, Timestamp(60_000)).unwrap();
    assert_eq!(statuses(&after), (RunStatus::Cancelled, AttemptStatus::Cancelled));
    assert_eq!(
        (finished_at(&after.run), after.attempt.finished_at()),
        (Some(Timestamp(60_000)), Some(Timestamp(60_000)))
    );
    assert_eq!(after.attempt.error_message(), Some(EXPIRED_MESSAGE));
}

#[rstest]
#[case(AttemptStatus::Expired, RunStatus::Dead, EndedBy::Expiry)]
#[case(AttemptStatus::Expired, RunStatus::Queued, EndedBy::ProcessEnd)]
#[case(AttemptStatus::Released, RunStatus::Queued, EndedBy::Release)]
#[case(AttemptStatus::Cancelled, RunStatus::Cancelled, EndedBy::Expiry)]
fn a_lease_that_ended_without_a_result_is_gone_for_every_call(
    #[case] status: AttemptStatus,
    #[case] run: RunStatus,
    #[case] by: EndedBy,
) {
    let stale = ended(status, run, by);
    for command in runner_calls() {
        assert_eq!(decide(&stale, &command, NOW), Err(Refusal::Gone), "{command:?}");
    }
    assert_eq!(decide(&stale, &Command::Expire, Timestamp(60_000)), Err(Refusal::NotDue));
    assert_eq!(decide(&stale, &end("me"), NOW), Err(Refusal::OtherInstance));
    assert_eq!(decide(&stale, &Command::Cancel, NOW).unwrap(), stale);
}

#[test]
fn after_a_result_every_other_call_is_gone() {
    let done = ended(AttemptStatus::Completed, RunStatus::Completed, EndedBy::Result);
    for command in
        [Command::Start, Command::Heartbeat { ttl: TTL }, Command::Logs, Command::Artifact, Command::Release]
    {
        assert_eq!(decide(&done, &command, NOW), Err(Refusal::Gone), "{command:?}");
    }
}

#[rstest]
#[case(leased())]
#[case(running())]
#[case(cancelling())]
fn from_its_expiry_on_a_lease_is_gone_reaped_or_not(#[case] before: Held) {
    for command in runner_calls() {
        assert_eq!(decide(&before, &command, Timestamp(60_000)), Err(Refusal::Gone), "{command:?}");
        assert_ne!(decide(&before, &command, Timestamp(59_999)), Err(Refusal::Gone), "{command:?}");
    }
    assert_eq!(decide(&before, &Command::Expire, Timestamp(59_999)), Err(Refusal::NotDue));
    assert!(decide(&before, &Command::Expire, Timestamp(60_000)).is_ok());
}

#[rstest]
#[case(leased())]
#[case(running())]
fn expiry_requeues_then_the_run_is_dead_at_the_limit(#[case] before: Held) {
    let at = Timestamp(60_000);
    let once = decide(&before, &Command::Expire, at).unwrap();
    assert_eq!(statuses(&once), (RunStatus::Queued, AttemptStatus::Expired));
    assert_eq!((once.run.retries.used, once.run.queued_at, finished_at(&once.run)), (1, at, None));
    assert_eq!(once.attempt.finished_at(), Some(at));

    let second = Held { run: once.run.into_state(run_in(RunStatus::Leased)), ..before };
    let twice = decide(&second, &Command::Expire, at).unwrap();
    assert_eq!(statuses(&twice), (RunStatus::Dead, AttemptStatus::Expired));
    assert_eq!((twice.run.retries.used, finished_at(&twice.run)), (1, Some(at)));
    assert_eq!(twice.run.state.end().unwrap().error_message.as_deref(), Some(EXPIRED_MESSAGE));
}

#[rstest]
#[case(leased())]
#[case(running())]
fn release_keeps_place_and_budget(#[case] before: Held) {
    let after = decide(&before, &Command::Release, NOW).unwrap();
    assert_eq!(statuses(&after), (RunStatus::Queued, AttemptStatus::Released));
    assert_eq!((after.run.queued_at, after.run.retries), (before.run.queued_at, before.run.retries));
    assert_eq!((after.attempt.finished_at(), finished_at(&after.run)), (Some(NOW), None));
}

#[rstest]
#[case(leased())]
#[case(running())]
fn cancel_of_a_held_run_asks_and_is_idempotent(#[case] before: Held) {
    let after = decide(&before, &Command::Cancel, NOW).unwrap();
    assert_eq!(statuses(&after), (RunStatus::Cancelling, AttemptStatus::Cancelling));
    assert!(after.run.state.is_cancel_requested() && finished_at(&after.run).is_none());
    assert_eq!(decide(&after, &Command::Cancel, NOW).unwrap(), after);
}

#[test]
fn cancel_of_an_unheld_run_ends_it_when_queued_and_leaves_an_ended_one() {
    let queued = RunProgress::queued(0, Timestamp(0));
    let after = cancel_unheld(queued.clone(), NOW).unwrap();
    assert_eq!((after.status(), finished_at(&after)), (RunStatus::Cancelled, Some(NOW)));
    assert!(after.state.is_cancel_requested());
    for status in RunStatus::ALL.into_iter().filter(|status| *status != RunStatus::Queued) {
        let run = queued.clone().into_state(run_in(status));
        let held = IllegalMove { from: status, to: RunStatus::Cancelled };
        assert_eq!(cancel_unheld(run.clone(), NOW), if status.is_active() { Err(held) } else { Ok(run) });
    }
    let illegal = IllegalMove { from: RunStatus::Leased, to: RunStatus::Cancelled };
    assert_eq!(illegal.to_string(), "a run that is leased cannot become cancelled");
}

#[test]
fn ended_of_another_instance_changes_nothing_and_of_this_one_carries_its_reason() {
    assert_eq!(decide(&running(), &end("other"), NOW), Err(Refusal::OtherInstance));
    let mut nameless = running();
    nameless.lease.instance_id = None;
    assert_eq!(decide(&nameless, &end("me"), NOW), Err(Refusal::OtherInstance));
    let after = decide(&running(), &end("me"), NOW).unwrap();
    assert_eq!(statuses(&after), (RunStatus::Queued, AttemptStatus::Expired));
    assert_eq!(after.attempt.error_message(), Some("OOMKilled"));
}

#[rstest]
#[case::short_left(Timestamp(10_001), Timestamp(70_000))]
#[case::long_past(Timestamp(0), Timestamp(70_000))]
#[case::further_than_any_ttl(Timestamp(9_000_000), Timestamp(70_000))]
fn after_a_restart_a_lease_lasts_a_full_ttl_and_no_longer(
    #[case] expires: Timestamp,
    #[case] after: Timestamp,
) {
    let lease = Lease { expires_at: expires, ..running().lease };
    assert_eq!(after_restart(lease, TTL, NOW).expires_at, after);
}

#[test]
fn after_a_restart_with_a_shorter_ttl_a_longer_lease_keeps_its_end() {
    let lease = Lease { expires_at: Timestamp(60_000), ..running().lease };
    assert_eq!(after_restart(lease, Duration::from_secs(5), NOW).expires_at, Timestamp(60_000));
}

fn finished_at(run: &RunProgress) -> Option<Timestamp> {
    run.state.end().map(|end| end.finished_at)
}

fn any_command() -> impl Strategy<Value = Command> {
    prop_oneof![
        Just(Command::Start),
        (1_u64..120).prop_map(|s| Command::Heartbeat { ttl: Duration::from_secs(s) }),
        Just(Command::Logs),
        Just(Command::Artifact),
        Just(result_of(ResultStatus::Completed)),
        Just(result_of(ResultStatus::Failed)),
        any::<u16>().prop_map(|jitter| failed(ResultReason::Timeout, Jitter(jitter))),
        Just(result_of(ResultStatus::Cancelled)),
        Just(Command::Release),
        Just(Command::TakeBack),
        prop_oneof![Just(None), Just(Some("poll".to_owned()))]
            .prop_map(|given_up| Command::SignOff { given_up }),
        Just(Command::Cancel),
        Just(Command::Expire),
        prop_oneof![Just(end("me")), Just(end("other"))],
    ]
}

proptest! {
    /// Whatever is asked in whatever order: only moves of the tables are made, run and attempt agree, and what has ended stays.
    #[test]
    fn no_sequence_of_commands_breaks_the_state_machines(
        steps in prop::collection::vec((any_command(), 0_i64..30_000), 1..40),
        start: bool,
        max_retries in 0_i64..3,
        on in prop::option::of(prop::sample::subsequence(Failure::ALL.to_vec(), 1..=3)),
    ) {
        let mut now = Timestamp(0);
        let mut run = RunProgress::queued(max_retries, now);
        run.policy = on.map(|on| RetryPolicy::new(&on, 1000, 2000, 10_000));
        let poll = Poll {
            request_id: Some("poll".to_owned()),
            instance_id: Some("me".to_owned()),
            supersedes: None,
            start,
        };
        let mut held = claim::lease(run, &poll, TTL, now).unwrap();
        for (command, ms) in steps {
            now = Timestamp(now.0 + ms);
            let Ok(next) = decide(&held, &command, now) else { continue };
            let (from, to) = (statuses(&held), statuses(&next));
            prop_assert!(from.0 == to.0 || run_may_become(from.0, to.0), "{from:?} → {to:?} by {command:?}");
            prop_assert!(from.1 == to.1 || attempt_may_become(from.1, to.1), "{from:?} → {to:?} by {command:?}");
            prop_assert_eq!(next.attempt.status().is_active(), next.run.status().is_active());
            prop_assert_eq!(next.attempt.status().is_active(), next.attempt.ended_by().is_none());
            prop_assert_eq!(next.run.status().is_terminal(), next.run.state.end().is_some());
            prop_assert!(next.run.retries.used <= max_retries);
            prop_assert!(next.run.state.not_before().is_none_or(|at| at == next.run.queued_at));
            if !held.attempt.status().is_active() {
                prop_assert_eq!(&next, &held, "an ended attempt changes nothing");
            }
            held = next;
        }
    }
}
