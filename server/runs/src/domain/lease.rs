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
//! | sign-off | queued, same place | unchanged; queued if its poll started it unheard | cancelled if not started or unheard | unchanged | unchanged |
//! | take back | queued, same place | queued, same place | cancelled | gone | gone |
//! | cancel | cancelling | cancelling | unchanged | unchanged | unchanged |
//! | expire, end | queued or dead | queued or dead | cancelled | conflict | conflict |
//!
//! A failed result ends the run as told too, unless its retry policy asks for another attempt: then the attempt has failed, and the run is
//! queued, not to be leased before its backoff has passed. [`wake`] makes it ready then.
//!
//! A poll may start the attempt itself. Its answer may be lost then as before, so the same poll is answered again until the first call under
//! the lease: until then nobody has heard of the start, and what is given back was never started.
//!
//! Every call of the runner answers gone from the moment the lease has run out, reaped or not. Promises kept here: at most one process may
//! act under a valid lease; nothing moves backwards; what has ended never changes.

use std::time::Duration;

use crate::domain::attempt::{AttemptState, CancelledBy, EndedBy, JobEnd, Lease, Loss, LostBy, Span};
use crate::domain::retry::{self, After, Jitter};
use crate::domain::run::{RunEnd, RunProgress, RunState, Wait};
use minitower_vocabulary::statuses::{AttemptStatus, Failure, ResultReason, ResultStatus, RunStatus};
use minitower_vocabulary::time::Timestamp;

/// A run and the attempt in question: its active one, or the one whose lease token was shown.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Held {
    /// The run.
    pub run: RunProgress,
    /// The attempt's lease.
    pub lease: Lease,
    /// The attempt.
    pub attempt: AttemptState,
}

impl Held {
    /// Whether the attempt is active although its lease has run out.
    pub fn is_overdue(&self, now: Timestamp) -> bool {
        self.attempt.status().is_active() && self.lease.is_over(now)
    }

    /// Whether the attempt is active and was leased to that process.
    pub fn is_of_process(&self, instance_id: &str) -> bool {
        self.attempt.status().is_active() && self.lease.instance_id.as_deref() == Some(instance_id)
    }
}

/// The run cannot move like this.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a run that is {} cannot become {}", from.as_str(), to.as_str())]
pub struct IllegalMove {
    /// Where it stands.
    pub from: RunStatus,
    /// Where it was to go.
    pub to: RunStatus,
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
    /// The runner stops polling: it has not heard of the answer to the poll of that name, and will not.
    SignOff {
        /// The poll it gave up.
        given_up: Option<String>,
    },
    /// Nobody has heard of the lease, and nobody will: its poll was gone by the time it was to be answered.
    TakeBack,
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
pub fn decide(held: Held, command: Command, now: Timestamp) -> Result<Held, Refusal> {
    match command {
        Command::Start => Ok(start(live(held, now)?, now)),
        Command::Heartbeat { ttl } => {
            let held = heard(live(held, now)?);
            Ok(Held { lease: held.lease.extended(ttl, now), ..held })
        }
        Command::Logs => Ok(heard(live(held, now)?)),
        Command::Artifact => live(held, now),
        Command::Result(outcome, jitter) => result(held, outcome, jitter, now),
        Command::Release => Ok(release(live(held, now)?, now)),
        Command::SignOff { given_up } => Ok(sign_off(held, given_up.as_deref(), now)),
        Command::TakeBack => Ok(release(not_started(live(held, now)?), now)),
        Command::Cancel => Ok(cancel(held)),
        Command::Expire => {
            if held.is_overdue(now) {
                Ok(lose(held, LostBy::Expiry, EXPIRED_MESSAGE.to_owned(), now))
            } else {
                Err(Refusal::NotDue)
            }
        }
        Command::End { instance_id, reason } => {
            if held.is_of_process(&instance_id) {
                Ok(lose(held, LostBy::ProcessEnd, reason, now))
            } else {
                Err(Refusal::OtherInstance)
            }
        }
    }
}

/// Decides on a cancel of a run that no runner holds: a queued one ends at once, an ended one stays as it is.
pub fn cancel_unheld(run: RunProgress, now: Timestamp) -> Result<RunProgress, IllegalMove> {
    match run.state {
        RunState::Queued { first_started_at, .. } => {
            let end = RunEnd { first_started_at, finished_at: now, exit_code: None, error_message: None };
            Ok(run.into_state(RunState::Cancelled { requested: true, end }))
        }
        RunState::Completed(_) | RunState::Failed(_) | RunState::Cancelled { .. } | RunState::Dead(_) => {
            Ok(run)
        }
        RunState::Leased { .. } | RunState::Running { .. } | RunState::Cancelling { .. } => {
            Err(IllegalMove { from: run.status(), to: RunStatus::Cancelled })
        }
    }
}

/// A run whose backoff has passed, ready; none: there is nothing to wait for any more, or not yet.
#[must_use]
pub fn wake(run: &RunProgress, now: Timestamp) -> Option<RunProgress> {
    run.state.not_before().filter(|at| *at <= now)?;
    let first_started_at = run.state.first_started_at();
    Some(run.clone().into_state(RunState::Queued { wait: Wait::Nothing, first_started_at }))
}

/// A run that waits after a restart of the server. Its backoff cannot end further away than the longest that its policy allows:
/// only a clock that was wrong can say so, and it is cut to that.
#[must_use]
pub fn backoff_after_restart(run: RunProgress, now: Timestamp) -> RunProgress {
    let longest = run.policy.map_or(Duration::ZERO, |policy| policy.longest_backoff());
    let latest = now.plus(longest);
    if run.state.not_before().is_none_or(|at| at <= latest) {
        return run;
    }
    let first_started_at = run.state.first_started_at();
    let state = RunState::Queued { wait: Wait::Until(latest), first_started_at };
    RunProgress { queued_at: latest, state, ..run }
}

/// A lease after a restart of the server. Nobody may lose a run because nobody could be reached, so it lasts at least `ttl` from
/// now. An expiry further away than the longest length in use can only come from a clock that was wrong, so it is cut to that.
#[must_use]
pub fn after_restart(lease: Lease, ttl: Duration, now: Timestamp) -> Lease {
    let longest = ttl.max(lease.ttl);
    let expires_at = lease.expires_at.max(now.plus(ttl)).min(now.plus(longest));
    Lease { expires_at, ..lease }
}

/// The run and its attempt, if a call under the lease may act.
fn live(held: Held, now: Timestamp) -> Result<Held, Refusal> {
    if held.attempt.status().is_active() && !held.lease.is_over(now) { Ok(held) } else { Err(Refusal::Gone) }
}

fn start(held: Held, now: Timestamp) -> Held {
    match held.attempt {
        AttemptState::Leased => {
            let first_started_at = held.run.state.first_started_at().unwrap_or(now);
            Held {
                run: held.run.into_state(RunState::Running { first_started_at }),
                lease: held.lease.heard(),
                attempt: AttemptState::Running { started_at: now },
            }
        }
        // Running: a repeated start. Cancelling: the runner learns it from the answer.
        AttemptState::Running { .. } | AttemptState::Cancelling { .. } => heard(held),
        AttemptState::Completed { .. }
        | AttemptState::Failed { .. }
        | AttemptState::Cancelled { .. }
        | AttemptState::Expired { .. }
        | AttemptState::Released { .. } => held,
    }
}

fn result(held: Held, outcome: Outcome, jitter: Jitter, now: Timestamp) -> Result<Held, Refusal> {
    if held.attempt.ended_by() == Some(EndedBy::Result) {
        let same = held.attempt.status() == outcome.status.attempt();
        return if same { Ok(held) } else { Err(Refusal::OtherResult) };
    }
    let held = live(held, now)?;
    if held.attempt.status() == AttemptStatus::Cancelling && outcome.status != ResultStatus::Cancelled {
        return Err(Refusal::Cancelling);
    }
    let run = after_result(held.run, &outcome, jitter, now);
    let span = Span { started_at: held.attempt.started_at(), finished_at: now };
    let Outcome { status, exit_code, error_message, reason } = outcome;
    let job = JobEnd { exit_code, error_message, reason };
    let attempt = match status {
        ResultStatus::Completed => AttemptState::Completed { span, job },
        ResultStatus::Failed => AttemptState::Failed { span, job },
        ResultStatus::Cancelled => AttemptState::Cancelled { span, by: CancelledBy::Result(job) },
    };
    Ok(Held { run, attempt, ..held })
}

/// The run after an accepted result: ended as told, or queued again when its policy asks for another attempt.
fn after_result(run: RunProgress, outcome: &Outcome, jitter: Jitter, now: Timestamp) -> RunProgress {
    let first_started_at = run.state.first_started_at();
    let end = || RunEnd {
        first_started_at,
        finished_at: now,
        exit_code: outcome.exit_code,
        error_message: outcome.error_message.clone(),
    };
    match outcome.status {
        ResultStatus::Completed => run.into_state(RunState::Completed(end())),
        ResultStatus::Cancelled => {
            let requested = run.state.is_cancel_requested();
            run.into_state(RunState::Cancelled { requested, end: end() })
        }
        ResultStatus::Failed => {
            let failure = retry::failure_of(outcome.reason);
            match retry::decide(run.retries, run.policy.as_ref(), failure, jitter) {
                // A cancel is refused every result but its own, so nothing that is to end is retried.
                After::Again { retries, backoff } => {
                    let at = now.plus(backoff);
                    let wait = if at > now { Wait::Until(at) } else { Wait::Nothing };
                    let state = RunState::Queued { wait, first_started_at };
                    RunProgress { retries, queued_at: at, state, ..run }
                }
                After::Final => run.into_state(RunState::Failed(end())),
            }
        }
    }
}

/// What was leased, after a call under the lease. One that is only leased may still be asked for again: its runner has yet to start it.
fn heard(held: Held) -> Held {
    match held.attempt {
        AttemptState::Leased => held,
        AttemptState::Running { .. }
        | AttemptState::Cancelling { .. }
        | AttemptState::Completed { .. }
        | AttemptState::Failed { .. }
        | AttemptState::Cancelled { .. }
        | AttemptState::Expired { .. }
        | AttemptState::Released { .. } => Held { lease: held.lease.heard(), ..held },
    }
}

/// A runner that stops gives back what it has not started: what it never started, and what its last poll started without its knowledge. Any
/// other attempt may be under way, and stays.
fn sign_off(held: Held, given_up: Option<&str>, now: Timestamp) -> Held {
    let unheard = given_up.is_some() && held.lease.request_id.as_deref() == given_up;
    if !held.attempt.status().is_active() || held.attempt.started_at().is_some() && !unheard {
        held
    } else if held.lease.is_over(now) {
        lose(held, LostBy::Expiry, EXPIRED_MESSAGE.to_owned(), now)
    } else {
        release(not_started(held), now)
    }
}

/// What was leased, as if its poll had not started it: nobody has heard that it did.
fn not_started(held: Held) -> Held {
    let (started_at, attempt) = match held.attempt {
        AttemptState::Running { started_at } => (started_at, AttemptState::Leased),
        AttemptState::Cancelling { started_at: Some(at) } => {
            (at, AttemptState::Cancelling { started_at: None })
        }
        AttemptState::Leased
        | AttemptState::Cancelling { started_at: None }
        | AttemptState::Completed { .. }
        | AttemptState::Failed { .. }
        | AttemptState::Cancelled { .. }
        | AttemptState::Expired { .. }
        | AttemptState::Released { .. } => return held,
    };
    let first_started_at = held.run.state.first_started_at().filter(|first| *first != started_at);
    let state = match held.run.state {
        RunState::Running { .. } => RunState::Leased { first_started_at },
        RunState::Cancelling { .. } => RunState::Cancelling { first_started_at },
        RunState::Queued { .. }
        | RunState::Leased { .. }
        | RunState::Completed(_)
        | RunState::Failed(_)
        | RunState::Cancelled { .. }
        | RunState::Dead(_) => return held,
    };
    Held { run: held.run.into_state(state), attempt, ..held }
}

fn release(held: Held, now: Timestamp) -> Held {
    if held.attempt.status() == AttemptStatus::Cancelling {
        return cancelled(held, CancelledBy::Release, now);
    }
    let span = Span { started_at: held.attempt.started_at(), finished_at: now };
    let first_started_at = held.run.state.first_started_at();
    // `queued_at` and the retries stay: the run keeps its place and its budget.
    Held {
        run: held.run.into_state(RunState::Queued { wait: Wait::Nothing, first_started_at }),
        attempt: AttemptState::Released { span },
        ..held
    }
}

fn cancel(held: Held) -> Held {
    let started_at = match held.attempt {
        AttemptState::Leased => None,
        AttemptState::Running { started_at } => Some(started_at),
        AttemptState::Cancelling { .. }
        | AttemptState::Completed { .. }
        | AttemptState::Failed { .. }
        | AttemptState::Cancelled { .. }
        | AttemptState::Expired { .. }
        | AttemptState::Released { .. } => return held,
    };
    let first_started_at = held.run.state.first_started_at();
    Held {
        run: held.run.into_state(RunState::Cancelling { first_started_at }),
        attempt: AttemptState::Cancelling { started_at },
        ..held
    }
}

/// The runner is lost: cancel intent wins, then the policy and the budget decide.
fn lose(held: Held, by: LostBy, message: String, now: Timestamp) -> Held {
    if held.attempt.status() == AttemptStatus::Cancelling {
        return cancelled(held, CancelledBy::Loss(Loss { by, message: Some(message) }), now);
    }
    let run = held.run;
    let first_started_at = run.state.first_started_at();
    let run = match retry::decide(run.retries, run.policy.as_ref(), Failure::Lost, Jitter::NONE) {
        After::Again { retries, .. } => {
            let state = RunState::Queued { wait: Wait::Nothing, first_started_at };
            RunProgress { retries, queued_at: now, state, ..run }
        }
        After::Final => run.into_state(RunState::Dead(RunEnd {
            first_started_at,
            finished_at: now,
            exit_code: None,
            error_message: Some(message.clone()),
        })),
    };
    let span = Span { started_at: held.attempt.started_at(), finished_at: now };
    let loss = Loss { by, message: Some(message) };
    Held { run, attempt: AttemptState::Expired { span, loss }, ..held }
}

/// The cancel that was requested is confirmed.
fn cancelled(held: Held, by: CancelledBy, now: Timestamp) -> Held {
    let first_started_at = held.run.state.first_started_at();
    let requested = held.run.state.is_cancel_requested();
    let end = RunEnd { first_started_at, finished_at: now, exit_code: None, error_message: None };
    let span = Span { started_at: held.attempt.started_at(), finished_at: now };
    Held {
        run: held.run.into_state(RunState::Cancelled { requested, end }),
        attempt: AttemptState::Cancelled { span, by },
        ..held
    }
}

#[cfg(test)]
mod tests;
