//! How a lease begins: the rules of a runner's poll.
//!
//! The poll of a runner that holds nothing takes the first ready run of its queue. A runner that holds something is refused, but
//! for two cases that make a lost answer or a lost process cost nothing: the same poll asked again, and a successor process. A poll asked again
//! after its run was cancelled confirms the cancel: nobody has heard of that run.

use std::time::Duration;

use crate::domain::attempt::{AttemptState, Lease};
use crate::domain::lease::{self, Command, Held, IllegalMove};
use crate::domain::run::{RunProgress, RunState, Wait};
use minitower_vocabulary::statuses::{AttemptStatus, RunStatus};
use minitower_vocabulary::time::Timestamp;

/// What a poll says of itself.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash)]
pub struct Poll {
    /// Names the poll.
    pub request_id: Option<String>,
    /// Names the process.
    pub instance_id: Option<String>,
    /// The former process, known to be dead, whose attempt is to be ended.
    pub supersedes: Option<String>,
    /// Whether the attempt is to be started at once.
    pub start: bool,
}

/// What is to be done with a poll.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
#[expect(clippy::large_enum_variant, reason = "it is matched where it is made, and never kept")]
pub enum Decision {
    /// Take the first ready run, if there is one.
    Claim,
    /// End the former attempt like this, then take the first ready run, if there is one.
    EndThenClaim(Held),
    /// The answer was lost: the same attempt again, under a fresh lease token that voids the former.
    Again(Lease),
    /// A fence keeps work from this runner: it waits.
    Fenced,
    /// The runner holds an active attempt.
    Busy,
}

/// Message of an attempt that a successor process ended.
pub const SUPERSEDED_MESSAGE: &str = "superseded: a newer process of this runner took over";

/// Decides on a poll. `held` is the runner's active attempt with its run; `fenced` whether any fence is on the runner's name.
pub fn decide(held: Option<Held>, poll: &Poll, fenced: bool, ttl: Duration, now: Timestamp) -> Decision {
    let Some(held) = held else {
        return if fenced { Decision::Fenced } else { Decision::Claim };
    };
    // An attempt that ends here ends even where no new one may begin: nothing is left to protect.
    let ended = if held.is_overdue(now) {
        lease::decide(held, Command::Expire, now)
    } else if is_asked_again(&held, poll) && held.attempt.status() == AttemptStatus::Cancelling {
        // A cancel came before the runner heard of the run: there is nothing left to begin, and nobody to wait for.
        lease::decide(held, Command::TakeBack, now)
    } else if is_asked_again(&held, poll) {
        // The runner counts the lease from the poll it sends now, so it is granted from now.
        return Decision::Again(held.lease.extended(ttl, now));
    } else if let Some(former) = superseded(&held, poll) {
        let end = Command::End { instance_id: former.to_owned(), reason: SUPERSEDED_MESSAGE.to_owned() };
        lease::decide(held, end, now)
    } else {
        return Decision::Busy;
    };
    ended.map_or(Decision::Busy, Decision::EndThenClaim)
}

/// Whether it is the same poll of the same process again, whose answer was lost.
fn is_asked_again(held: &Held, poll: &Poll) -> bool {
    // Once the answer was heard, the lease names its poll no more.
    poll.request_id.is_some()
        && poll.request_id == held.lease.request_id
        && poll.instance_id == held.lease.instance_id
        && held.attempt.status().is_active()
}

/// The former process that this poll's process succeeds, if the attempt was leased to that one.
fn superseded<'a>(held: &Held, poll: &'a Poll) -> Option<&'a str> {
    let former = poll.supersedes.as_deref()?;
    // A process cannot supersede itself: that would be a second poll beside a living job.
    let other = poll.instance_id.as_deref() != Some(former);
    (other && held.is_of_process(former)).then_some(former)
}

/// A ready run and the fresh attempt at it, once it is leased, and started if the poll asks for that.
pub fn lease(run: RunProgress, poll: &Poll, ttl: Duration, now: Timestamp) -> Result<Held, IllegalMove> {
    match run.state {
        RunState::Queued { wait: Wait::Nothing, first_started_at } => {
            let (state, attempt) = if poll.start {
                let first_started_at = first_started_at.unwrap_or(now);
                (RunState::Running { first_started_at }, AttemptState::Running { started_at: now })
            } else {
                (RunState::Leased { first_started_at }, AttemptState::Leased)
            };
            let lease = Lease::granted(poll.instance_id.clone(), poll.request_id.clone(), ttl, now);
            Ok(Held { run: run.into_state(state), lease, attempt })
        }
        RunState::Queued { wait: Wait::After | Wait::Until(_) | Wait::Disabled | Wait::Limit, .. }
        | RunState::Leased { .. }
        | RunState::Running { .. }
        | RunState::Cancelling { .. }
        | RunState::Completed(_)
        | RunState::Failed(_)
        | RunState::Cancelled { .. }
        | RunState::Dead(_) => Err(IllegalMove { from: run.status(), to: RunStatus::Leased }),
    }
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;
    use crate::domain::attempt::EndedBy;
    use crate::domain::moves::{attempt_in, run_in};
    use minitower_vocabulary::statuses::AttemptStatus;

    const TTL: Duration = Duration::from_secs(60);

    fn held(status: AttemptStatus, run: RunStatus) -> Held {
        Held {
            run: RunProgress::queued(1, Timestamp(0)).into_state(run_in(run)),
            lease: Lease::granted(Some("old".to_owned()), Some("poll-1".to_owned()), TTL, Timestamp(0)),
            attempt: attempt_in(status, EndedBy::Result),
        }
    }

    fn poll(request: &str, instance: &str, supersedes: Option<&str>) -> Poll {
        Poll {
            request_id: Some(request.to_owned()),
            instance_id: Some(instance.to_owned()),
            supersedes: supersedes.map(str::to_owned),
            start: false,
        }
    }

    #[test]
    fn an_idle_runner_claims_unless_it_is_fenced() {
        assert_eq!(decide(None, &Poll::default(), false, TTL, Timestamp(1)), Decision::Claim);
        assert_eq!(decide(None, &Poll::default(), true, TTL, Timestamp(1)), Decision::Fenced);
        assert_eq!(
            decide(None, &poll("p", "new", Some("old")), false, TTL, Timestamp(1)),
            Decision::Claim,
            "superseding nothing is an ordinary poll"
        );
    }

    #[rstest]
    #[case(AttemptStatus::Leased, RunStatus::Leased)]
    #[case(AttemptStatus::Running, RunStatus::Running)]
    #[case(AttemptStatus::Cancelling, RunStatus::Cancelling)]
    fn any_other_poll_of_a_busy_runner_is_refused(#[case] attempt: AttemptStatus, #[case] run: RunStatus) {
        let held = held(attempt, run);
        for other in [
            Poll::default(),
            poll("poll-2", "old", None),
            poll("poll-2", "new", None),
            poll("poll-1", "new", None),
            poll("poll-2", "new", Some("someone-else")),
            poll("poll-2", "old", Some("old")),
        ] {
            assert_eq!(
                decide(Some(held.clone()), &other, false, TTL, Timestamp(1)),
                Decision::Busy,
                "{other:?}"
            );
        }
    }

    #[test]
    fn a_lost_answer_is_found_again_while_the_attempt_is_still_leased_and_granted_from_now() {
        let decision = decide(
            Some(held(AttemptStatus::Leased, RunStatus::Leased)),
            &poll("poll-1", "old", None),
            true,
            TTL,
            Timestamp(5_000),
        );
        let Decision::Again(lease) = decision else { panic!("{decision:?}") };
        assert_eq!(lease.expires_at, Timestamp(65_000));
        assert_eq!(lease.request_id.as_deref(), Some("poll-1"), "this answer may be lost too");
    }

    #[test]
    fn a_lost_answer_of_a_poll_that_started_its_attempt_is_found_again_until_a_call_of_the_attempt() {
        let unheard = held(AttemptStatus::Running, RunStatus::Running);
        let again =
            |held: &Held| decide(Some(held.clone()), &poll("poll-1", "old", None), false, TTL, Timestamp(1));
        assert!(matches!(again(&unheard), Decision::Again(_)));
        let heard = Held { lease: unheard.lease.clone().heard(), ..unheard };
        assert_eq!(again(&heard), Decision::Busy);
        let unnamed = decide(Some(heard), &Poll::default(), false, TTL, Timestamp(1));
        assert_eq!(unnamed, Decision::Busy, "a poll without a name is not the same as another one");
    }

    #[test]
    fn a_poll_whose_lost_lease_was_cancelled_confirms_the_cancel_and_gets_other_work() {
        let cancelling = held(AttemptStatus::Cancelling, RunStatus::Cancelling);
        let asked = |held: Held| decide(Some(held), &poll("poll-1", "old", None), false, TTL, Timestamp(1));
        let Decision::EndThenClaim(after) = asked(cancelling.clone()) else { panic!("it waits") };
        assert_eq!(after.run.status(), RunStatus::Cancelled);
        assert_eq!(after.attempt.ended_by(), Some(EndedBy::Release));
        assert_eq!(after.attempt.started_at(), None, "nobody heard of a start");
        let heard = Held { lease: cancelling.lease.clone().heard(), ..cancelling };
        assert_eq!(asked(heard), Decision::Busy, "its runner is at work, and is told");
    }

    #[test]
    fn a_poll_that_asks_for_it_starts_what_it_leases() {
        let starts = Poll { start: true, ..poll("p", "me", None) };
        for (before, first) in [(None, Timestamp(9)), (Some(Timestamp(3)), Timestamp(3))] {
            let ready = RunState::Queued { wait: Wait::Nothing, first_started_at: before };
            let run = RunProgress::queued(0, Timestamp(0)).into_state(ready);
            let started = lease(run.clone(), &starts, TTL, Timestamp(9)).unwrap();
            assert_eq!(started.run, run.into_state(RunState::Running { first_started_at: first }));
            assert_eq!(started.attempt, AttemptState::Running { started_at: Timestamp(9) });
            assert_eq!(started.lease.request_id.as_deref(), Some("p"));
        }
    }

    #[rstest]
    #[case(AttemptStatus::Leased, RunStatus::Leased, RunStatus::Queued, AttemptStatus::Expired)]
    #[case(AttemptStatus::Running, RunStatus::Running, RunStatus::Queued, AttemptStatus::Expired)]
    #[case(AttemptStatus::Cancelling, RunStatus::Cancelling, RunStatus::Cancelled, AttemptStatus::Cancelled)]
    fn a_successor_ends_only_the_attempt_of_the_process_it_names(
        #[case] attempt: AttemptStatus,
        #[case] run: RunStatus,
        #[case] run_after: RunStatus,
        #[case] attempt_after: AttemptStatus,
    ) {
        let held = held(attempt, run);
        let decision = decide(Some(held), &poll("p", "new", Some("old")), false, TTL, Timestamp(1));
        let Decision::EndThenClaim(after) = decision else { panic!("{decision:?}") };
        assert_eq!((after.run.status(), after.attempt.status()), (run_after, attempt_after));
        assert_eq!(after.attempt.ended_by(), Some(EndedBy::ProcessEnd));
    }

    #[test]
    fn an_attempt_past_its_end_does_not_keep_its_runner_from_work() {
        let decision = decide(
            Some(held(AttemptStatus::Running, RunStatus::Running)),
            &Poll::default(),
            false,
            TTL,
            Timestamp(60_000),
        );
        let Decision::EndThenClaim(after) = decision else { panic!("{decision:?}") };
        assert_eq!(after.attempt.ended_by(), Some(EndedBy::Expiry));
    }

    #[test]
    fn only_a_ready_run_can_be_leased() {
        let fresh = RunProgress::queued(0, Timestamp(0));
        let leased =
            |state| lease(fresh.clone().into_state(state), &poll("p", "me", None), TTL, Timestamp(9));
        for wait in [Wait::After, Wait::Until(Timestamp(0)), Wait::Disabled, Wait::Limit] {
            let waits = RunState::Queued { wait, first_started_at: None };
            let illegal = IllegalMove { from: RunStatus::Queued, to: RunStatus::Leased };
            assert_eq!(leased(waits), Err(illegal), "not as long as {wait:?}");
        }
        for status in RunStatus::ALL.into_iter().filter(|status| *status != RunStatus::Queued) {
            assert_eq!(leased(run_in(status)), Err(IllegalMove { from: status, to: RunStatus::Leased }));
        }
        let first_started_at = Some(Timestamp(3));
        let again = leased(RunState::Queued { wait: Wait::Nothing, first_started_at }).unwrap();
        assert_eq!(again.run, fresh.into_state(RunState::Leased { first_started_at }));
        let expected = Lease::granted(Some("me".to_owned()), Some("p".to_owned()), TTL, Timestamp(9));
        assert_eq!((again.lease, again.attempt), (expected, AttemptState::Leased));
    }
}
