//! The server: what its transactions do with the rules' decisions, and nothing else.
//!
//! Each function stands for one transaction of the application: read the rows, ask `the domain`, save what it answers, answer the
//! caller. No rule is repeated here; what is checked of each step is in `promises`.

use std::time::Duration;

use minitower_rules::domain::attempt::{AttemptFields, AttemptState, EndedBy, Lease};
use minitower_rules::domain::claim::{self, Decision, Poll};
use minitower_rules::domain::lease::{self, Command, Held, Outcome, Refusal};
use minitower_rules::domain::queues::Queues;
use minitower_rules::domain::retry::{Jitter, RetryBudget, RetryPolicy};
use minitower_rules::domain::run::{Blocked, RunFields, RunProgress, RunState};
use minitower_rules::domain::turns::{Next, Place, Standing};
use minitower_vocabulary::ids::{RunId, TeamId};
use minitower_vocabulary::statuses::{AttemptStatus, RunStatus};
use minitower_vocabulary::time::Timestamp;

use crate::checker::Step;
use crate::config::{Bound, Event};
use crate::names;
use crate::promises::{Cause, Promise, judge};
use crate::state::{Attempt, Body, NOBODY, Run, VOID, Verdict};

/// The time of every step, by the server's clock; a tick is a millisecond.
pub(crate) const NOW: Timestamp = Timestamp(1_000);

/// The one environment.
const HERE: &str = "default";

fn ticks(n: u8) -> Duration {
    Duration::from_millis(n.into())
}

impl Step<'_> {
    fn ttl(&self) -> Duration {
        ticks(self.config.ttl)
    }

    /// The rows of an attempt and its run.
    fn held(&self, at: usize) -> Held {
        let row = &self.state.attempts[at];
        let before = Timestamp(NOW.0 - 1);
        let attempt = AttemptFields {
            status: row.status,
            started_at: row.started.then_some(before),
            finished_at: (!row.status.is_active()).then_some(before),
            ended_by: row.ended_by,
            exit_code: None,
            error_message: None,
            reason: None,
        };
        Held {
            run: self.run_state(row.run).unwrap_or_else(|| RunProgress::queued(0, NOW)),
            lease: Lease {
                expires_at: NOW.plus(ticks(row.expires)),
                ttl: self.ttl(),
                instance_id: Some(names::of(row.instance, "holder")),
                request_id: Some(names::of(row.request, "asked before")),
            },
            attempt: AttemptState::try_from(attempt).expect("a row of the model is whole"),
        }
    }

    fn run_state(&self, run: u8) -> Option<RunProgress> {
        let row = &self.state.runs[usize::from(run)];
        let status = row.status?;
        let before = Timestamp(NOW.0 - 1);
        let state = RunFields {
            status,
            cancel_requested: row.cancel_requested,
            blocked_by: row.waits.map(|_| Blocked::Backoff),
            not_before: row.waits.map(|left| NOW.plus(ticks(left))),
            // When a run first started matters to no rule, but a running one has started.
            started_at: (status == RunStatus::Running).then_some(before),
            finished_at: status.is_terminal().then_some(before),
            exit_code: None,
            error_message: None,
        };
        Some(RunProgress {
            retries: RetryBudget { max: self.config.max_retries.into(), used: row.used.into() },
            policy: self
                .config
                .retry
                .map(|(on, ticks)| RetryPolicy::new(on, ticks.into(), 1000, ticks.into())),
            queued_at: Timestamp(NOW.0 + i64::from(row.queued_at)),
            state: RunState::try_from(state).expect("a row of the model is whole"),
        })
    }

    fn save_run(&mut self, run: u8, after: &RunProgress) {
        let row = &mut self.state.runs[usize::from(run)];
        row.status = Some(after.status());
        row.used = after.retries.used.try_into().expect("a budget is small");
        row.cancel_requested = after.state.is_cancel_requested();
        row.waits =
            after.state.not_before().map(|at| u8::try_from(at.since(NOW).as_millis()).unwrap_or(u8::MAX));
        row.queued_at = (after.queued_at.0 - NOW.0).try_into().expect("a place is near");
    }

    fn save(&mut self, at: usize, before: &Held, after: &Held, cause: Cause) {
        let row = &self.state.attempts[at];
        let live = row.status.is_active() && row.expires > 0;
        let broken = judge(before, after, cause, live, self.config, NOW.0);
        let row = &mut self.state.attempts[at];
        row.status = after.attempt.status();
        row.started |= after.attempt.started_at().is_some();
        row.ended_by = after.attempt.ended_by();
        if after.lease.request_id.is_none() {
            row.request = NOBODY;
        }
        let left = after.lease.expires_at.since(NOW).as_millis();
        row.expires = u8::try_from(left).unwrap_or(u8::MAX).min(self.config.ttl * 2);
        let run = row.run;
        let queued_again =
            before.run.status() != RunStatus::Queued && after.run.status() == RunStatus::Queued;
        self.save_run(run, &after.run);
        if queued_again && cause != Cause::Release {
            let later = matches!(cause, Cause::Result(_)).then_some(self.config.retry).flatten();
            let place = later.map_or(0, |(_, ticks)| ticks);
            self.state.runs[usize::from(run)].place = place.try_into().expect("a backoff is short");
        }
        self.state.broken = self.state.broken.or(broken);
    }

    /// Decides on a command and saves what comes out.
    fn carry_out(&mut self, at: usize, command: Command, cause: Cause) -> Result<(), Refusal> {
        let before = self.held(at);
        let after = lease::decide(before.clone(), command, NOW)?;
        self.save(at, &before, &after, cause);
        if !before.run.status().is_terminal()
            && after.run.status() == RunStatus::Cancelled
            && !matches!(cause, Cause::Result(_))
        {
            self.met.event(Event::CancelledByLoss);
        }
        match after.run.status() {
            RunStatus::Dead => self.met.event(Event::Died),
            RunStatus::Queued if after.run.state.is_backing_off() => self.met.event(Event::Retried),
            RunStatus::Queued if after.run.retries.used > before.run.retries.used => {
                self.met.event(Event::Requeued);
            }
            _ => {}
        }
        Ok(())
    }

    /// A person queues a run.
    pub(crate) fn create(&mut self, run: u8) {
        let fresh = RunProgress::queued(self.config.max_retries.into(), NOW);
        self.save_run(run, &fresh);
        self.state.runs[usize::from(run)].place = 0;
    }

    /// A person cancels a run.
    pub(crate) fn cancel(&mut self, run: u8) {
        let Some(before) = self.run_state(run) else { return };
        if before.status().is_active() {
            let at = self.state.active_of_run(run).expect("an active run has an active attempt");
            self.carry_out(at, Command::Cancel, Cause::Cancel).expect("a cancel is never refused");
            self.met.event(Event::CancelHeld);
        } else {
            let after = lease::cancel_unheld(before.clone(), NOW).expect("nobody holds it");
            if before.status().is_terminal() && before != after {
                self.state.broken = Some(Promise::Final);
            }
            self.save_run(run, &after);
            self.met.event(if before.state.is_backing_off() {
                Event::CancelBackingOff
            } else {
                Event::CancelQueued
            });
        }
        let acknowledged = &mut self.state.runs[usize::from(run)].cancel_acknowledged;
        *acknowledged |= !before.status().is_terminal();
    }

    /// The reaper looks at an attempt.
    pub(crate) fn reap(&mut self, at: usize) -> Option<()> {
        self.carry_out(at, Command::Expire, Cause::Expiry).ok()?;
        self.met.event(Event::Expired);
        Some(())
    }

    /// The end of a run's backoff is looked for.
    pub(crate) fn wake(&mut self, run: u8) -> Option<()> {
        let before = self.run_state(run)?;
        let after = lease::wake(&before, NOW)?;
        let early = self.state.runs[usize::from(run)].waits != Some(0);
        let kept = (after.queued_at, after.retries) == (before.queued_at, before.retries);
        if early || !kept || after.status() != RunStatus::Queued {
            self.state.broken = Some(Promise::Backoff);
        }
        self.save_run(run, &after);
        self.met.event(Event::Woken);
        Some(())
    }

    /// The server starts again; its wall clock has meanwhile jumped by `jump`.
    pub(crate) fn restart(&mut self, jump: i8) {
        self.state.served = 0;
        for at in 0..self.state.attempts.len() {
            self.state.attempts[at].unheard = false;
            if !self.state.attempts[at].status.is_active() {
                continue;
            }
            let mut before = self.held(at);
            before.lease.expires_at.0 -= i64::from(jump);
            let lease = lease::after_restart(before.lease.clone(), self.ttl(), NOW);
            if lease.expires_at > before.lease.expires_at {
                self.met.event(Event::Prolonged);
            }
            if self.state.attempts[at].expires == 0 {
                self.met.event(Event::ValidAgain);
            }
            let after = Held { lease, ..before.clone() };
            self.save(at, &before, &after, Cause::Restart);
        }
    }

    /// Somebody who knows says that a process of this runner has ended: the one that holds the attempt, or another one.
    pub(crate) fn report_end(&mut self, runner: u8, holder: bool) {
        let Some(at) = self.state.active_of_runner(runner) else { return };
        let alive = self.state.is_holder_alive(&self.state.attempts[at]);
        let named = self.held(at).lease.instance_id.filter(|_| holder);
        let command = Command::End {
            instance_id: named.unwrap_or_else(|| "another".to_owned()),
            reason: String::new(),
        };
        let ended = self.carry_out(at, command, Cause::ProcessEnd { alive });
        self.met.event(if ended.is_ok() { Event::ReportedEnd } else { Event::ReportRefused });
    }

    /// The poll that was to hear of this lease has gone, and its token is still the current one.
    pub(crate) fn release_unheard(&mut self, at: usize) {
        self.state.attempts[at].unheard = false;
        let started = self.state.attempts[at].started;
        if self.state.attempts[at].status.is_active()
            && self.carry_out(at, Command::TakeBack, Cause::Release).is_ok()
        {
            self.met.event(if started { Event::StartTakenBack } else { Event::UnheardReleased });
        }
    }

    /// A runner signs off, and names the poll that it gave up.
    pub(crate) fn sign_off(&mut self, runner: u8, given_up: Option<u8>) {
        let Some(at) = self.state.active_of_runner(runner) else { return };
        let row = &self.state.attempts[at];
        let (started, live) = (row.started, row.expires > 0);
        // What nobody has made a call of, and who signs off never will.
        let unheard = given_up.is_some_and(|request| request == row.request && request != NOBODY);
        let cause = match (started && !unheard, live) {
            (true, _) => Cause::Repeat,
            (false, true) => Cause::Release,
            (false, false) => Cause::Expiry,
        };
        let command = Command::SignOff { given_up: given_up.map(|request| names::of(request, "given up")) };
        let before = self.held(at);
        self.carry_out(at, command, cause).expect("a sign-off is never refused");
        let kept = self.held(at) == before;
        if kept != (started && !unheard) {
            self.state.broken = Some(Promise::SignOff);
        }
        if started && !unheard {
            self.met.event(Event::SignOffIgnored);
        } else {
            self.met.event(if started { Event::SignedOffStarted } else { Event::SignedOff });
        }
    }

    /// A call under a lease.
    pub(crate) fn call(&mut self, token: u8, request: &Body) -> Body {
        if token == VOID {
            self.met.event(Event::RefusedVoid);
            return Body::Gone { token };
        }
        let at = usize::from(token);
        let (command, cause) = match request {
            Body::Start { .. } => (Command::Start, Cause::Call),
            Body::Heartbeat { .. } => (Command::Heartbeat { ttl: self.ttl() }, Cause::Call),
            Body::Conclude { verdict: Verdict::Release, .. } => (Command::Release, Cause::Release),
            Body::Conclude { verdict: Verdict::Result(status), .. } => {
                let outcome = Outcome { status: *status, exit_code: None, error_message: None, reason: None };
                (Command::Result(outcome, Jitter::NONE), Cause::Result(*status))
            }
            other => unreachable!("not a call under a lease: {other:?}"),
        };
        self.judge_reads(at);
        let settled = self.state.attempts[at].ended_by == Some(EndedBy::Result);
        let done = self.carry_out(at, command, cause);
        let cancel = self.state.attempts[at].status == AttemptStatus::Cancelling;
        match (done, request) {
            (Ok(()), Body::Start { .. }) => Body::Started { token, cancel },
            (Ok(()), Body::Heartbeat { awaited, .. }) => {
                Body::Extended { token, sent: awaited.unwrap_or_default(), cancel }
            }
            (Ok(()), _) => {
                if let Cause::Result(status) = cause {
                    let run = self.state.attempts[at].run;
                    let row = &mut self.state.runs[usize::from(run)];
                    if settled {
                        self.met.event(Event::RepeatedResult);
                    } else if row.status != Some(RunStatus::Queued) {
                        row.accepted.get_or_insert(status);
                    }
                } else {
                    self.met.event(Event::Released);
                }
                Body::Concluded { token }
            }
            (Err(Refusal::OtherResult), _) => {
                self.met.event(Event::RefusedOther);
                Body::Conflict { token }
            }
            (Err(Refusal::Cancelling), _) => {
                self.met.event(Event::RefusedCancelling);
                Body::Conflict { token }
            }
            (Err(_), _) => {
                self.met.event(Event::RefusedLate);
                Body::Gone { token }
            }
        }
    }

    /// Log lines and the archive are given and taken only under a valid lease; neither changes a state.
    fn judge_reads(&mut self, at: usize) {
        let held = self.held(at);
        let live = held.attempt.status().is_active() && self.state.attempts[at].expires > 0;
        let allowed = |command| lease::decide(held.clone(), command, NOW).is_ok();
        if !live && (allowed(Command::Logs) || allowed(Command::Artifact)) {
            self.state.broken = Some(Promise::DeadLease);
        }
    }

    /// A poll. None: more attempts than the model allows.
    pub(crate) fn poll(
        &mut self,
        runner: u8,
        (instance, request): (u8, u8),
        supersedes: Option<u8>,
        start: bool,
    ) -> Option<Body> {
        let poll = Poll {
            instance_id: Some(names::of(instance, "poller")),
            request_id: Some(names::of(request, "this poll")),
            supersedes: supersedes.map(|former| names::of(former, "former")),
            start,
        };
        let active = self.state.active_of_runner(runner);
        let held = active.map(|at| self.held(at));
        let fenced = self.state.runners[usize::from(runner)].fences > 0;
        let lease = (instance, request);
        match claim::decide(held.clone(), &poll, fenced, self.ttl(), NOW) {
            Decision::Busy => {
                self.met.event(Event::RefusedBusy);
                Some(Body::Busy)
            }
            Decision::Fenced => {
                self.met.event(Event::MetFence);
                Some(Body::Nothing)
            }
            Decision::Claim => self.take_first(runner, &poll, lease),
            Decision::EndThenClaim(after) => {
                let (at, held) = (active?, held?);
                let alive = self.state.is_holder_alive(&self.state.attempts[at]);
                let (cause, event) = match after.attempt.ended_by() {
                    Some(EndedBy::ProcessEnd) => (Cause::ProcessEnd { alive }, Event::Superseded),
                    Some(EndedBy::Release) => (Cause::Release, Event::CancelUnheard),
                    _ => (Cause::Expiry, Event::ExpiredAtPoll),
                };
                self.met.event(event);
                self.save(at, &held, &after, cause);
                if fenced {
                    self.met.event(Event::FenceEnded);
                    return Some(Body::Nothing);
                }
                self.take_first(runner, &poll, lease)
            }
            Decision::Again(lease) => {
                let (at, held) = (active?, held?);
                let after = Held { lease, ..held.clone() };
                self.save(at, &held, &after, Cause::Repeat);
                let started = self.state.attempts[at].started;
                self.met.event(if started { Event::RepeatedStarted } else { Event::Repeated });
                // A fresh token: the former is void wherever it is.
                self.state.each_token(|token| {
                    if usize::from(*token) == at {
                        *token = VOID;
                    }
                });
                self.state.attempts[at].unheard = false;
                Some(Body::Lease { token: index(at), started })
            }
        }
    }

    /// The run that the rules give next, whatever they knew before: the tests of `turns` are about what they keep.
    fn next(&self) -> Option<u8> {
        let mut queues = Queues::new(self.config.most_active);
        if self.state.served > 0 {
            let team = TeamId(self.state.served);
            let place = Standing::Ready(Place::new(0, NOW, RunId(i64::MAX)));
            queues.moved(HERE, team, Standing::Aside, place);
            queues.moved(HERE, team, place, Standing::Active);
            queues.moved(HERE, team, Standing::Active, Standing::Aside);
        }
        let standing = |run: u8| {
            let progress = self.run_state(run)?;
            Some(Standing::of(self.config.priorities[usize::from(run)], RunId(run.into()), &progress))
        };
        let team = |run: u8| TeamId(self.config.teams[usize::from(run)]);
        let runs = || (0_u8..).take(self.state.runs.len());
        for run in runs() {
            queues.moved(HERE, team(run), Standing::Aside, standing(run).unwrap_or(Standing::Aside));
        }
        match queues.next(HERE) {
            Next::Nobody => None,
            Next::Run(id) => Some(u8::try_from(id.0).expect("it is one of few")),
            Next::Ask(asked) => unreachable!("the first run of team {asked} never moved"),
        }
    }

    /// How many active runs a team has.
    fn active(&self, team: i64) -> i64 {
        let held = |run: &Run| run.status.is_some_and(RunStatus::is_active);
        let own = self.state.runs.iter().zip(self.config.teams).filter(|(run, of)| **of == team && held(run));
        i64::try_from(own.count()).expect("there are few runs")
    }

    /// The run that is promised next: of the team with the fewest active ones among those that may have more, and of two with as few of the one
    /// that did not have the last lease, in the order of the queue.
    fn promised(&self) -> Option<u8> {
        let (runs, teams) = (&self.state.runs, self.config.teams);
        let may = |id: u8| self.active(teams[usize::from(id)]) < self.config.most_active;
        let ready = |run: &Run| run.status == Some(RunStatus::Queued) && run.waits.is_none();
        let rank = |id: u8| {
            let at = usize::from(id);
            let (team, priority) = (teams[at], self.config.priorities[at]);
            (self.active(team), team == self.state.served, -priority, runs[at].place, id)
        };
        (0_u8..)
            .take(runs.len())
            .filter(|id| ready(&runs[usize::from(*id)]) && may(*id))
            .min_by_key(|id| rank(*id))
    }

    /// Whether a ready run is passed over because its team has as many active ones as it may.
    fn withholds(&self) -> bool {
        let ready = |run: &Run| run.status == Some(RunStatus::Queued) && run.waits.is_none();
        let mut runs = self.state.runs.iter().zip(self.config.teams);
        runs.any(|(run, team)| ready(run) && self.active(*team) >= self.config.most_active)
    }

    /// Whether the run that would come first if all were of one team is another.
    fn gives_way(&self, run: u8) -> bool {
        let (runs, priorities) = (&self.state.runs, self.config.priorities);
        let ready = |run: &Run| run.status == Some(RunStatus::Queued) && run.waits.is_none();
        let rank = |id: u8| (-priorities[usize::from(id)], runs[usize::from(id)].place, id);
        (0_u8..).take(runs.len()).any(|id| ready(&runs[usize::from(id)]) && rank(id) < rank(run))
    }

    fn take_first(&mut self, runner: u8, poll: &Poll, (instance, request): (u8, u8)) -> Option<Body> {
        let promised = self.promised();
        if self.withholds() {
            self.met.event(Event::Withheld);
        }
        let Some(run) = self.next() else {
            if promised.is_some() {
                self.state.broken = Some(Promise::Order);
            }
            return Some(Body::Nothing);
        };
        if self.gives_way(run) {
            self.met.event(Event::GaveWay);
        }
        let row = &self.state.runs[usize::from(run)];
        if self.config.attempts.is_some_and(|most| row.attempts >= most) {
            self.met.bound(Bound::Attempts);
            return None;
        }
        let before = self.run_state(run)?;
        let leased = claim::lease(before.clone(), poll, self.ttl(), NOW).expect("a ready run can be leased");
        let kept = leased.run.retries == before.retries && leased.run.queued_at == before.queued_at;
        if self.state.runners[usize::from(runner)].fences > 0 {
            self.state.broken = Some(Promise::Fence);
        } else if promised != Some(run) {
            self.state.broken = Some(Promise::Order);
        } else if !kept {
            self.state.broken = Some(Promise::Place);
        }
        self.save_run(run, &leased.run);
        self.state.served = self.config.teams[usize::from(run)];
        if self.active(self.config.teams[usize::from(run)]) > self.config.most_active {
            self.state.broken = Some(Promise::Limit);
        }
        if self.config.attempts.is_some() {
            self.state.runs[usize::from(run)].attempts += 1;
        }
        self.state.attempts.push(Attempt {
            run,
            runner,
            status: leased.attempt.status(),
            expires: self.config.ttl,
            instance: if leased.lease.instance_id.is_some() { instance } else { NOBODY },
            request: if leased.lease.request_id.is_some() { request } else { NOBODY },
            started: leased.attempt.started_at().is_some(),
            ended_by: None,
            unheard: false,
        });
        let started = leased.attempt.started_at().is_some();
        if started {
            self.met.event(Event::StartedByPoll);
        }
        Some(Body::Lease { token: index(self.state.attempts.len() - 1), started })
    }
}

fn index(at: usize) -> u8 {
    at.try_into().expect("there are few attempts")
}
