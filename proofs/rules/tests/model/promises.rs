//! What must hold, said without the rules that are to keep it: of each step here in [`judge`], of each state in [`properties`].

use minitower_rules::domain::attempt::EndedBy;
use minitower_rules::domain::lease::Held;
use minitower_rules::domain::run::RunProgress;
use stateright::Property;

use crate::checker::Protocol;
use crate::config::{Config, Faults};
use crate::heal;
use crate::state::{Phase, State, Verdict};
use minitower_vocabulary::statuses::{AttemptStatus, Failure, ResultStatus, RunStatus};

/// What a step can break.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) enum Promise {
    /// A call acted although its lease was over.
    DeadLease,
    /// Something that had ended changed.
    Final,
    /// An attempt moved backwards.
    Forward,
    /// A loss that was not counted, or something counted that was none, or more than the budget.
    Budget,
    /// A run that was given back lost its place, or a lost one kept its own.
    Place,
    /// A failure that was not retried as asked, or retried though nobody asked, or a backoff that is not what it has to be.
    Backoff,
    /// A lease was given through a fence.
    Fence,
    /// A run was leased before one that was ahead of it.
    Order,
    /// A team had more active runs than it may.
    Limit,
    /// An acknowledged cancel was forgotten.
    Cancel,
    /// Another result was acknowledged than the one that counts.
    Result,
    /// A lease was ended before its time.
    Early,
    /// A living process's attempt was ended as that of a dead one.
    Alive,
    /// A lease longer than it may be.
    Long,
    /// A run and its attempt say different things.
    Torn,
    /// A sign-off ended what may be under way, or left what nobody will begin.
    SignOff,
}

/// Why a run and its attempt change.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Cause {
    /// A call that needs a valid lease.
    Call,
    /// A result of that kind.
    Result(ResultStatus),
    /// The run is given back: by its runner, by its sign-off, or because nobody heard of the lease.
    Release,
    /// A cancel.
    Cancel,
    /// The reaper, or a poll that found the lease over.
    Expiry,
    /// The end of the process, known for certain.
    ProcessEnd {
        /// Whether that process is in fact alive.
        alive: bool,
    },
    /// The same poll again.
    Repeat,
    /// A restart of the server.
    Restart,
}

/// Judges a step that the rules have decided on. `live`: whether the lease was valid, by the model's own count.
pub(crate) fn judge(
    before: &Held,
    after: &Held,
    cause: Cause,
    live: bool,
    config: &Config,
    now: i64,
) -> Option<Promise> {
    let settled = before.attempt.ended_by() == Some(EndedBy::Result);
    let needs_lease =
        matches!(cause, Cause::Call | Cause::Release) || matches!(cause, Cause::Result(_)) && !settled;
    if needs_lease && !live {
        return Some(Promise::DeadLease);
    }
    if let Cause::Result(status) = cause
        && after.attempt.status() != status.attempt()
    {
        return Some(Promise::Result);
    }
    if !before.attempt.status().is_active()
        && (before.attempt != after.attempt || before.lease != after.lease)
        || before.run.status().is_terminal() && before.run != after.run
    {
        return Some(Promise::Final);
    }
    if step(after.attempt.status()) < step(before.attempt.status()) {
        return Some(Promise::Forward);
    }
    match cause {
        Cause::Expiry if live => return Some(Promise::Early),
        Cause::ProcessEnd { alive: true } => return Some(Promise::Alive),
        _ => {}
    }
    let cancelling = before.run.state.is_cancel_requested() && before.run.status().is_active();
    if cancelling && !matches!(after.run.status(), RunStatus::Cancelling | RunStatus::Cancelled)
        || before.run.state.is_cancel_requested() && !after.run.state.is_cancel_requested()
    {
        return Some(Promise::Cancel);
    }
    let lost = matches!(cause, Cause::Expiry | Cause::ProcessEnd { .. }) && !cancelling;
    let failed = cause == Cause::Result(ResultStatus::Failed) && !settled;
    let left = before.run.retries.used < before.run.retries.max;
    if failed && !is_retried_as_asked(&after.run, config, left, now) {
        return Some(Promise::Backoff);
    }
    let again = (lost || failed) && after.run.status() == RunStatus::Queued;
    let counted = before.run.retries.used + i64::from(again);
    let dead_early = after.run.status() == RunStatus::Dead
        && before.run.status() != RunStatus::Dead
        && (!lost || left && config.retries(Failure::Lost));
    if lost && after.run.status() == RunStatus::Queued && !config.retries(Failure::Lost) {
        return Some(Promise::Backoff);
    }
    if after.run.retries.used != counted || counted > after.run.retries.max || dead_early {
        return Some(Promise::Budget);
    }
    if after.run.status() == RunStatus::Queued && before.run.status() != RunStatus::Queued {
        let kept = after.run.queued_at == before.run.queued_at;
        if lost && after.run.queued_at.0 != now || !again && !kept {
            return Some(Promise::Place);
        }
        if !again && cause != Cause::Release {
            return Some(Promise::Torn);
        }
    }
    if after.attempt.status().is_active() && after.lease.expires_at.0 > now + i64::from(config.ttl) {
        return Some(Promise::Long);
    }
    if before.attempt.status().is_active() && !agree(after) { Some(Promise::Torn) } else { None }
}

/// Whether a run whose job has failed is queued for the end of its backoff if that was asked for and is left, and has failed for good if not.
fn is_retried_as_asked(after: &RunProgress, config: &Config, left: bool, now: i64) -> bool {
    match config.retry.filter(|_| left && config.retries(Failure::Failed)) {
        Some((_, ticks)) => {
            let at = now + i64::from(ticks);
            after.status() == RunStatus::Queued
                && after.queued_at.0 == at
                && after.state.not_before().map(|t| t.0) == Some(at)
        }
        None => after.status() == RunStatus::Failed,
    }
}

/// How far an attempt has come.
fn step(status: AttemptStatus) -> u8 {
    match status {
        AttemptStatus::Leased => 0,
        AttemptStatus::Running => 1,
        AttemptStatus::Cancelling => 2,
        AttemptStatus::Completed
        | AttemptStatus::Failed
        | AttemptStatus::Cancelled
        | AttemptStatus::Expired
        | AttemptStatus::Released => 3,
    }
}

/// Whether a run can stand so when its newest attempt stands so.
fn agree(held: &Held) -> bool {
    match held.attempt.status() {
        AttemptStatus::Leased => held.run.status() == RunStatus::Leased,
        AttemptStatus::Running => held.run.status() == RunStatus::Running,
        AttemptStatus::Cancelling => held.run.status() == RunStatus::Cancelling,
        AttemptStatus::Completed => held.run.status() == RunStatus::Completed,
        AttemptStatus::Failed => matches!(held.run.status(), RunStatus::Failed | RunStatus::Queued),
        AttemptStatus::Cancelled => held.run.status() == RunStatus::Cancelled,
        AttemptStatus::Expired => matches!(held.run.status(), RunStatus::Queued | RunStatus::Dead),
        AttemptStatus::Released => held.run.status() == RunStatus::Queued,
    }
}

/// What must hold in every state, and what must be reached.
pub(crate) fn properties(config: &Config) -> Vec<Property<Protocol>> {
    let mut properties = vec![
        Property::always("a run executes at most once at a time", |_, s: &State| executes_once(s)),
        Property::always("a job executes only under its own valid lease", |_, s: &State| {
            executes_under_lease(s)
        }),
        Property::always("a run and a runner have at most one active attempt", |_, s: &State| one_active(s)),
        Property::always("an acknowledged result is the run's end", |_, s: &State| {
            s.runs.iter().all(|r| r.accepted.is_none_or(|a| r.status == Some(end(a))))
        }),
        Property::always("an acknowledged cancel ends in cancelled", |_, s: &State| {
            s.runs.iter().all(|r| {
                !r.cancel_acknowledged
                    || matches!(r.status, Some(RunStatus::Cancelling | RunStatus::Cancelled))
            })
        }),
        Property::always("no call acts outside its lease", |_, s: &State| kept(s, &[Promise::DeadLease])),
        Property::always("no lease ends early", |_, s: &State| kept(s, &[Promise::Early, Promise::Alive])),
        Property::always("no lease is longer than it may be", |_, s: &State| kept(s, &[Promise::Long])),
        Property::always("what has ended never changes", |_, s: &State| {
            kept(s, &[Promise::Final, Promise::Result])
        }),
        Property::always("nothing moves backwards", |_, s: &State| {
            kept(s, &[Promise::Forward, Promise::Torn])
        }),
        Property::always("each loss counts, and nothing else", |_, s: &State| kept(s, &[Promise::Budget])),
        Property::always("a release keeps the place, a loss takes a new one", |_, s: &State| {
            kept(s, &[Promise::Place])
        }),
        Property::always("a sign-off gives back what nobody has begun, and nothing else", |_, s: &State| {
            kept(s, &[Promise::SignOff])
        }),
        Property::always("a cancel is not forgotten", |_, s: &State| kept(s, &[Promise::Cancel])),
        Property::always("a fence lets no lease through", |_, s: &State| kept(s, &[Promise::Fence])),
        Property::always(
            "a failed run is retried as asked, and not before its backoff has passed",
            |_, s: &State| kept(s, &[Promise::Backoff]),
        ),
        Property::always("the queue's order is kept", |_, s: &State| kept(s, &[Promise::Order])),
        Property::always("no team has more active runs than it may", |_, s: &State| {
            kept(s, &[Promise::Limit])
        }),
    ];
    match config.faults {
        Faults::Any => properties.extend([
            Property::always("a healed system finishes every run", heal::finishes),
            Property::sometimes("completed", |_, s: &State| has(s, RunStatus::Completed)),
            Property::sometimes("dead", |_, s: &State| has(s, RunStatus::Dead)),
            Property::sometimes("cancelled", |_, s: &State| has(s, RunStatus::Cancelled)),
            Property::sometimes("a dead process's attempt ended by its successor", |_, s: &State| {
                s.attempts.iter().any(|a| a.ended_by == Some(EndedBy::ProcessEnd))
            }),
        ]),
        Faults::Outages { .. } => properties.extend([
            Property::always("an outage costs no run", |_, s: &State| costs_nothing(s)),
            Property::sometimes("completed", |_, s: &State| has(s, RunStatus::Completed)),
            Property::sometimes("a lease at the end of an outage, nearly over", |_, s: &State| {
                s.outage > 0 && s.attempts.iter().any(|a| a.status.is_active() && a.expires <= 2)
            }),
        ]),
    }
    if config.faults == Faults::Any && config.max_retries > 0 {
        properties.push(Property::sometimes("requeued", |_, s: &State| {
            s.runs.iter().any(|r| r.status == Some(RunStatus::Queued) && r.used > 0)
        }));
    }
    properties
}

/// The run's end after that result.
pub(crate) fn end(status: ResultStatus) -> RunStatus {
    match status {
        ResultStatus::Completed => RunStatus::Completed,
        ResultStatus::Failed => RunStatus::Failed,
        ResultStatus::Cancelled => RunStatus::Cancelled,
    }
}

fn kept(state: &State, promises: &[Promise]) -> bool {
    state.broken.is_none_or(|broken| !promises.contains(&broken))
}

fn has(state: &State, status: RunStatus) -> bool {
    state.runs.iter().any(|r| r.status == Some(status))
}

fn executes_once(state: &State) -> bool {
    let mut executing = vec![false; state.runs.len()];
    state.runners.iter().filter_map(|r| r.job.as_ref()).all(|job| {
        // A job whose lease token is void is met by the next promise.
        executing.get_mut(usize::from(job.run)).is_none_or(|run| !std::mem::replace(run, true))
    })
}

fn executes_under_lease(state: &State) -> bool {
    state.runners.iter().enumerate().all(|(name, runner)| {
        runner.job.as_ref().is_none_or(|job| {
            state.attempts.get(usize::from(job.token)).is_some_and(|attempt| {
                usize::from(attempt.runner) == name
                    && attempt.run == job.run
                    && attempt.status.is_active()
                    && attempt.expires > 0
            })
        })
    })
}

fn one_active(state: &State) -> bool {
    let active = |a: &&crate::state::Attempt| a.status.is_active();
    let mut all = state.attempts.iter().filter(active);
    all.all(|a| {
        let others = |f: fn(&crate::state::Attempt) -> u8| {
            state.attempts.iter().filter(active).filter(|b| f(b) == f(a)).count()
        };
        others(|b| b.run) == 1 && others(|b| b.runner) == 1
    }) && state
        .runs
        .iter()
        .zip(0..)
        .all(|(run, id)| run.status.is_some_and(RunStatus::is_active) == state.active_of_run(id).is_some())
}

/// No runner was lost, none gave up.
fn costs_nothing(state: &State) -> bool {
    let given_up = |phase: Phase| matches!(phase, Phase::Concluding { verdict: Verdict::Release, .. });
    state.runs.iter().all(|r| r.used == 0 && r.status != Some(RunStatus::Dead))
        && state.runners.iter().filter_map(|r| r.process.as_ref()).all(|p| !given_up(p.phase))
}
