//! The lease protocol: every rule about a run that a runner holds.
//!
//! [`decide`] takes the run, its attempt, what is asked and the time, and answers with both as they are to be from then on, or with
//! a [`Refusal`]. It is called inside the transaction that loads and saves them, and by the model checker.
//!
//! | command | leased | running | cancelling | ended by a result | ended otherwise |
//! |---|---|---|---|---|---|
//! | start | running | same answer | same answer, asks to cancel | gone | gone |
//! | heartbeat | extended | extended | extended, asks to cancel | gone | gone |
//! | logs, artifact | allowed | allowed | allowed | gone | gone |
//! | result | ends as told | ends as told | `cancelled` only, else conflict | same: ok; other: conflict | gone |
//! | release | queued, same place | queued, same place | cancelled | gone | gone |
//! | cancel | cancelling | cancelling | unchanged | unchanged | unchanged |
//! | expire, end | queued or dead | queued or dead | cancelled | conflict | conflict |
//!
//! A failed result ends the run as told too, unless its retry policy asks for another attempt: then the attempt has failed, and the run is
//! queued, not to be leased before its backoff has passed. [`wake`] makes it ready then.
//!
//! Every call of the runner answers gone from the moment the lease has run out, reaped or not. Promises kept here: at most one process may
//! act under a valid lease; nothing moves backwards; what has ended never changes.

use std::time::Duration;

use crate::domain::attempt::{AttemptState, EndedBy};
use crate::domain::retry::{self, After, Jitter};
use crate::domain::run::RunState;
use minitower_vocabulary::statuses::{AttemptStatus, Failure, ResultReason, ResultStatus, RunStatus};
use minitower_vocabulary::time::Timestamp;

/// A run and the attempt in question: its active one, or the one whose lease token was shown.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Held {
    /// The run.
    pub run: RunState,
    /// The attempt.
    pub attempt: AttemptState,
}

/// What a runner reports at the end.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Outcome {
    /// How the job ended.
    pub status: ResultStatus,
    /// Its exit code.
    pub exit_code: Option<i64>,
    /// Why it ended badly.
    pub error_message: Option<String>,
    /// What ended it.
    pub reason: Option<ResultReason>,
}

/// What may be asked about a held run.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Command {
    /// The runner begins.
    Start,
    /// The runner is alive: the lease becomes `ttl` long from now.
    Heartbeat {
        /// The lease's length.
        ttl: Duration,
    },
    /// The runner stores log lines.
    Logs,
    /// The runner fetches the archive.
    Artifact,
    /// The runner reports the end; if it is a failure that is retried, the backoff is lengthened by so much.
    Result(Outcome, Jitter),
    /// The runner gives the run back.
    Release,
    /// A person or program wants the run to end.
    Cancel,
    /// The reaper found the lease past its end.
    Expire,
    /// The process of that instance has ended for certain: said by the operator, or by its successor.
    End {
        /// The process.
        instance_id: String,
        /// Why, for people.
        reason: String,
    },
}

/// Why a command is not carried out.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, thiserror::Error)]
pub enum Refusal {
    /// The lease is stale or has run out: whoever shows it must stop.
    #[error("the lease is no longer valid: stop the job and report nothing more")]
    Gone,
    /// A different result was accepted before.
    #[error("the attempt already ended with another result")]
    OtherResult,
    /// A cancel came first.
    #[error("the run is being cancelled: only the result \"cancelled\" is accepted")]
    Cancelling,
    /// The attempt was not leased to the named process, or has ended.
    #[error("no active attempt was leased to this instance")]
    OtherInstance,
    /// The lease has not run out.
    #[error("the lease has not run out")]
    NotDue,
}

/// Message of a run or attempt whose lease ran out.
pub const EXPIRED_MESSAGE: &str = "lease expired: the runner was not heard of in time";

/// Decides on a command; see the module's table.
pub fn decide(held: &Held, command: &Command, now: Timestamp) -> Result<Held, Refusal> {
    match command {
        Command::Start => {
            live(held, now)?;
            Ok(start(held, now))
        }
        Command::Heartbeat { ttl } => {
            live(held, now)?;
            Ok(extend(held, *ttl, now))
        }
        Command::Logs | Command::Artifact => {
            live(held, now)?;
            Ok(held.clone())
        }
        Command::Result(outcome, jitter) => result(held, outcome, *jitter, now),
        Command::Release => {
            live(held, now)?;
            Ok(release(held, now))
        }
        Command::Cancel => Ok(cancel(held)),
        Command::Expire => {
            if held.attempt.status.is_active() && now >= held.attempt.lease_expires_at {
                Ok(lose(held, EndedBy::Expiry, EXPIRED_MESSAGE, now))
            } else {
                Err(Refusal::NotDue)
            }
        }
        Command::End { instance_id, reason } => {
            let same = held.attempt.instance_id.as_ref() == Some(instance_id);
            if held.attempt.status.is_active() && same {
                Ok(lose(held, EndedBy::ProcessEnd, reason, now))
            } else {
                Err(Refusal::OtherInstance)
            }
        }
    }
}

/// Decides on a cancel of a run that no runner holds: a queued one ends at once, an ended one stays as it is.
#[must_use]
pub fn cancel_unheld(run: &RunState, now: Timestamp) -> RunState {
    match run.status {
        RunStatus::Queued => RunState {
            status: RunStatus::Cancelled,
            cancel_requested: true,
            not_before: None,
            finished_at: Some(now),
            ..run.clone()
        },
        _ => run.clone(),
    }
}

/// A run whose backoff has passed, ready; none: there is nothing to wait for any more, or not yet.
#[must_use]
pub fn wake(run: &RunState, now: Timestamp) -> Option<RunState> {
    let due = run.is_backing_off() && run.not_before.is_some_and(|at| at <= now);
    due.then(|| RunState { not_before: None, ..run.clone() })
}

/// A run that waits after a restart of the server. Its backoff cannot end further away than the longest that its policy allows: only a clock that
/// was wrong can say so, and it is cut to that.
#[must_use]
pub fn backoff_after_restart(run: &RunState, now: Timestamp) -> RunState {
    let longest = run.policy.map_or(Duration::ZERO, |policy| policy.longest_backoff());
    let latest = now.plus(longest);
    match run.not_before.filter(|at| *at > latest) {
        Some(_) => RunState { queued_at: latest, not_before: Some(latest), ..run.clone() },
        None => run.clone(),
    }
}

/// A lease after a restart of the server: nobody may lose a run because nobody could be reached, so it lasts at least `ttl` from now; and an expiry further away than
/// the longest length in use can only come from a clock that was wrong, so it is cut to that.
#[must_use]
pub fn after_restart(attempt: &AttemptState, ttl: Duration, now: Timestamp) -> AttemptState {
    let longest = ttl.max(attempt.lease_ttl);
    let expires = attempt.lease_expires_at.max(now.plus(ttl)).min(now.plus(longest));
    AttemptState { lease_expires_at: expires, ..attempt.clone() }
}

fn live(held: &Held, now: Timestamp) -> Result<(), Refusal> {
    if held.attempt.is_live(now) { Ok(()) } else { Err(Refusal::Gone) }
}

fn start(held: &Held, now: Timestamp) -> Held {
    match held.attempt.status {
        AttemptStatus::Leased => Held {
            run: RunState {
                status: RunStatus::Running,
                started_at: held.run.started_at.or(Some(now)),
                ..held.run.clone()
            },
            attempt: AttemptState {
                status: AttemptStatus::Running,
                started_at: Some(now),
                ..held.attempt.clone()
            },
        },
        // Running: a repeated start. Cancelling: the runner learns it from the answer.
        _ => held.clone(),
    }
}

/// The lease becomes `ttl` long from now; never shorter than it was, since the runner may not hear the answer.
#[must_use]
fn extend(held: &Held, ttl: Duration, now: Timestamp) -> Held {
    Held { run: held.run.clone(), attempt: extended(&held.attempt, ttl, now) }
}

/// An attempt whose lease is granted anew.
pub(crate) fn extended(attempt: &AttemptState, ttl: Duration, now: Timestamp) -> AttemptState {
    AttemptState {
        lease_expires_at: attempt.lease_expires_at.max(now.plus(ttl)),
        lease_ttl: ttl,
        ..attempt.clone()
    }
}

fn result(held: &Held, outcome: &Outcome, jitter: Jitter, now: Timestamp) -> Result<Held, Refusal> {
    if held.attempt.ended_by == Some(EndedBy::Result) {
        let same = held.attempt.status == outcome.status.attempt();
        return if same { Ok(held.clone()) } else { Err(Refusal::OtherResult) };
    }
    live(held, now)?;
    if held.attempt.status == AttemptStatus::Cancelling && outcome.status != ResultStatus::Cancelled {
        return Err(Refusal::Cancelling);
    }
    Ok(Held {
        run: after_result(&held.run, outcome, jitter, now),
        attempt: AttemptState {
            status: outcome.status.attempt(),
            finished_at: Some(now),
            ended_by: Some(EndedBy::Result),
            exit_code: outcome.exit_code,
            error_message: outcome.error_message.clone(),
            reason: outcome.reason,
            ..held.attempt.clone()
        },
    })
}

/// The run after an accepted result: ended as told, or queued again when its policy asks for another attempt.
fn after_result(run: &RunState, outcome: &Outcome, jitter: Jitter, now: Timestamp) -> RunState {
    let status = match outcome.status {
        ResultStatus::Completed => RunStatus::Completed,
        ResultStatus::Cancelled => RunStatus::Cancelled,
        ResultStatus::Failed => {
            let failure = retry::failure_of(outcome.reason);
            match retry::decide(run.retries, run.policy.as_ref(), failure, jitter) {
                // A cancel is refused every result but its own, so nothing that is to end is retried.
                After::Again { retries, backoff } => {
                    let at = now.plus(backoff);
                    let not_before = (at > now).then_some(at);
                    let queued = RunStatus::Queued;
                    return RunState { status: queued, retries, queued_at: at, not_before, ..run.clone() };
                }
                After::Final => RunStatus::Failed,
            }
        }
    };
    RunState {
        status,
        finished_at: Some(now),
        exit_code: outcome.exit_code,
        error_message: outcome.error_message.clone(),
        ..run.clone()
    }
}

fn release(held: &Held, now: Timestamp) -> Held {
    if held.attempt.status == AttemptStatus::Cancelling {
        return cancelled(held, EndedBy::Release, None, now);
    }
    // `queued_at` and the retries stay: the run keeps its place and its budget.
    Held {
        run: RunState { status: RunStatus::Queued, ..held.run.clone() },
        attempt: AttemptState {
            status: AttemptStatus::Released,
            finished_at: Some(now),
            ended_by: Some(EndedBy::Release),
            ..held.attempt.clone()
        },
    }
}

fn cancel(held: &Held) -> Held {
    match held.attempt.status {
        AttemptStatus::Leased | AttemptStatus::Running => Held {
            run: RunState { status: RunStatus::Cancelling, cancel_requested: true, ..held.run.clone() },
            attempt: AttemptState { status: AttemptStatus::Cancelling, ..held.attempt.clone() },
        },
        _ => held.clone(),
    }
}

/// The runner is lost: cancel intent wins, then the policy and the budget decide.
fn lose(held: &Held, by: EndedBy, message: &str, now: Timestamp) -> Held {
    if held.attempt.status == AttemptStatus::Cancelling {
        return cancelled(held, by, Some(message), now);
    }
    let decided = retry::decide(held.run.retries, held.run.policy.as_ref(), Failure::Lost, Jitter::NONE);
    let run = match decided {
        After::Again { retries, .. } => {
            RunState { status: RunStatus::Queued, retries, queued_at: now, ..held.run.clone() }
        }
        After::Final => RunState {
            status: RunStatus::Dead,
            finished_at: Some(now),
            error_message: Some(message.to_owned()),
            ..held.run.clone()
        },
    };
    Held {
        run,
        attempt: AttemptState {
            status: AttemptStatus::Expired,
            finished_at: Some(now),
            ended_by: Some(by),
            error_message: Some(message.to_owned()),
            ..held.attempt.clone()
        },
    }
}

fn cancelled(held: &Held, by: EndedBy, message: Option<&str>, now: Timestamp) -> Held {
    Held {
        run: RunState { status: RunStatus::Cancelled, finished_at: Some(now), ..held.run.clone() },
        attempt: AttemptState {
            status: AttemptStatus::Cancelled,
            finished_at: Some(now),
            ended_by: Some(by),
            error_message: message.map(str::to_owned),
            ..held.attempt.clone()
        },
    }
}

#[cfg(test)]
mod tests;
