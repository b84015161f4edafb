//! How a lease begins: the rules of a runner's poll.
//!
//! The poll of a runner that holds nothing takes the first ready run of its queue. A runner that holds something is refused, but
//! for two cases that make a lost answer or a lost process cost nothing: the same poll asked again, and a successor process.

use std::time::Duration;

use crate::domain::attempt::AttemptState;
use crate::domain::lease::{self, Command, Held};
use crate::domain::run::RunState;
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
}

/// What is to be done with a poll.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Decision {
    /// Take the first ready run, if there is one.
    Claim,
    /// End the former attempt like this, then take the first ready run, if there is one.
    EndThenClaim(Held),
    /// The answer was lost: the same attempt again, under a fresh lease token that voids the former.
    Again(AttemptState),
    /// A fence keeps work from this runner: it waits.
    Fenced,
    /// The runner holds an active attempt.
    Busy,
}

/// Message of an attempt that a successor process ended.
pub const SUPERSEDED_MESSAGE: &str = "superseded: a newer process of this runner took over";

/// Decides on a poll. `held` is the runner's active attempt with its run; `fenced` whether any fence is on the runner's name.
pub fn decide(held: Option<&Held>, poll: &Poll, fenced: bool, ttl: Duration, now: Timestamp) -> Decision {
    let claim = |ended: Option<Held>| match (fenced, ended) {
        // The former attempt ends even where no new one may begin: its process is gone for certain.
        (_, Some(ended)) => Decision::EndThenClaim(ended),
        (true, None) => Decision::Fenced,
        (false, None) => Decision::Claim,
    };
    let Some(held) = held else {
        return claim(None);
    };

    // Past its end, not reaped yet: nothing is left to protect.
    if let Ok(ended) = lease::decide(held, &Command::Expire, now) {
        return claim(Some(ended));
    }
    let asked_again = poll.request_id.is_some()
        && poll.request_id == held.attempt.request_id
        && poll.instance_id == held.attempt.instance_id
        && held.attempt.status == AttemptStatus::Leased;
    if asked_again {
        // The runner counts the lease from the poll it sends now, so it is granted from now.
        return Decision::Again(lease::extended(&held.attempt, ttl, now));
    }
    if let Some(former) = &poll.supersedes {
        let end = Command::End { instance_id: former.clone(), reason: SUPERSEDED_MESSAGE.to_owned() };
        // A process cannot supersede itself: that would be a second poll beside a living job.
        if poll.instance_id.as_ref() != Some(former)
            && let Ok(ended) = lease::decide(held, &end, now)
        {
            return claim(Some(ended));
        }
    }
    Decision::Busy
}

/// A ready run and the fresh attempt at it, once it is leased.
pub fn lease(run: &RunState, poll: &Poll, ttl: Duration, now: Timestamp) -> Option<Held> {
    run.is_ready().then(|| Held {
        run: RunState { status: RunStatus::Leased, ..run.clone() },
        attempt: AttemptState::leased(poll.instance_id.clone(), poll.request_id.clone(), ttl, now),
    })
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;
    use crate::domain::attempt::EndedBy;

    const TTL: Duration = Duration::from_secs(60);

    fn held(status: AttemptStatus, run: RunStatus) -> Held {
        let mut state = RunState::queued(1, Timestamp(0));
        state.status = run;
        let mut attempt =
            AttemptState::leased(Some("old".to_owned()), Some("poll-1".to_owned()), TTL, Timestamp(0));
        attempt.status = status;
        Held { run: state, attempt }
    }

    fn poll(request: &str, instance: &str, supersedes: Option<&str>) -> Poll {
        Poll {
            request_id: Some(request.to_owned()),
            instance_id: Some(instance.to_owned()),
            supersedes: supersedes.map(str::to_owned),
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
            assert_eq!(decide(Some(&held), &other, false, TTL, Timestamp(1)), Decision::Busy, "{other:?}");
        }
    }

    #[test]
    fn a_lost_answer_is_found_again_while_the_attempt_is_still_leased_and_granted_from_now() {
        let decision = decide(
            Some(&held(AttemptStatus::Leased, RunStatus::Leased)),
            &poll("poll-1", "old", None),
            true,
            TTL,
            Timestamp(5_000),
        );
        let Decision::Again(attempt) = decision else { panic!("{decision:?}") };
        assert_eq!(attempt.lease_expires_at, Timestamp(65_000));
        for (attempt, run) in
            [(AttemptStatus::Running, RunStatus::Running), (AttemptStatus::Cancelling, RunStatus::Cancelling)]
        {
            let decision =
                decide(Some(&held(attempt, run)), &poll("poll-1", "old", None), false, TTL, Timestamp(1));
            assert_eq!(decision, Decision::Busy);
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
        let decision = decide(Some(&held), &poll("p", "new", Some("old")), false, TTL, Timestamp(1));
        let Decision::EndThenClaim(after) = decision else { panic!("{decision:?}") };
        assert_eq!((after.run.status, after.attempt.status), (run_after, attempt_after));
        assert_eq!(after.attempt.ended_by, Some(EndedBy::ProcessEnd));
    }

    #[test]
    fn an_attempt_past_its_end_does_not_keep_its_runner_from_work() {
        let decision = decide(
            Some(&held(AttemptStatus::Running, RunStatus::Running)),
            &Poll::default(),
            false,
            TTL,
            Timestamp(60_000),
        );
        let Decision::EndThenClaim(after) = decision else { panic!("{decision:?}") };
        assert_eq!(after.attempt.ended_by, Some(EndedBy::Expiry));
    }

    #[test]
    fn only_a_ready_run_can_be_leased() {
        let waits = RunState { not_before: Some(Timestamp(0)), ..RunState::queued(0, Timestamp(0)) };
        assert_eq!(lease(&waits, &Poll::default(), TTL, Timestamp(9)), None, "not before it was woken");
        for status in RunStatus::ALL {
            let mut run = RunState::queued(0, Timestamp(0));
            run.status = status;
            assert_eq!(
                lease(&run, &Poll::default(), TTL, Timestamp(0)).is_some(),
                status == RunStatus::Queued
            );
        }
        let taken = lease(&RunState::queued(0, Timestamp(0)), &Poll::default(), TTL, Timestamp(9)).unwrap();
        assert_eq!((taken.run.status, taken.attempt.status), (RunStatus::Leased, AttemptStatus::Leased));
    }
}
