//! The two state machines and the lease protocol: what becomes of a run and its attempt.

use std::sync::Arc;

use super::{Model, Principal};
use crate::vocabulary::{
    Answer, AttemptRow, Call, EndedBy, Ending, How, LONGEST_BACKOFF_MS, No, Number, Poll, Shown, Status,
    TTL_MS,
};

/// What a claim came to.
pub(super) enum Claimed {
    Granted(Box<Answer>),
    Busy,
    /// Nothing is ready, or a fence is up.
    Nothing,
}

pub(super) const SUPERSEDED: &str = minitower_runs::domain::claim::SUPERSEDED_MESSAGE;
const EXPIRED: &str = minitower_runs::domain::lease::EXPIRED_MESSAGE;

impl Model {
    /// A poll asks for work now.
    pub(super) fn claim(&mut self, by: &Principal, poll: &Poll, number: Number) -> Claimed {
        if let Some(held) = self.active_of_runner(by.id).map(|(held, _)| held.clone()) {
            let same_poll =
                poll.request.is_some() && (&poll.request, &poll.instance) == (&held.request, &held.instance);
            let supersedes = poll.supersedes.is_some()
                && poll.supersedes == held.instance
                && poll.supersedes != poll.instance;
            if self.now >= held.expires {
                self.lose(held.id, EndedBy::Expiry, EXPIRED);
            } else if same_poll && held.status == Status::Cancelling {
                // Nobody has heard of what was cancelled.
                self.forget_start(held.id);
                self.release(held.id);
            } else if same_poll {
                let expires = held.expires.max(self.now + TTL_MS);
                self.attempt_mut(held.id).expires = expires;
                Arc::make_mut(&mut self.attempts[super::place(held.id)]).1 = number;
                return Claimed::Granted(Box::new(self.granted(held.id)));
            } else if supersedes {
                self.lose(held.id, EndedBy::ProcessEnd, SUPERSEDED);
            } else {
                return Claimed::Busy;
            }
        }
        if self.is_fenced(&by.name) {
            return Claimed::Nothing;
        }
        if let (Some(instance), Some(runner)) =
            (&poll.instance, Arc::make_mut(&mut self.runners).get_mut(&by.name))
        {
            runner.instance = Some(instance.clone());
        }
        let Some(run) = self.first_for(by) else { return Claimed::Nothing };
        let attempts = self.all_attempts().filter(|(a, _)| a.run == run).count();
        let attempt = AttemptRow {
            id: i64::try_from(self.attempts.len()).unwrap() + 1,
            run,
            number: i64::try_from(attempts).unwrap() + 1,
            runner: Some(by.id),
            runner_name: by.name.clone(),
            status: if poll.start { Status::Running } else { Status::Leased },
            expires: self.now + TTL_MS,
            instance: poll.instance.clone(),
            request: poll.request.clone(),
            leased_at: self.now,
            started_at: poll.start.then_some(self.now),
            finished_at: None,
            ended_by: None,
            exit_code: None,
            message: None,
        };
        let id = attempt.id;
        self.attempts.push(Arc::new((attempt, number)));
        self.serve(&by.environment, self.run(run).team);
        let now = self.now;
        let run = self.run_mut(run);
        run.status = if poll.start { Status::Running } else { Status::Leased };
        if poll.start {
            run.started_at = run.started_at.or(Some(now));
        }
        run.runner = Some(by.name.clone());
        Claimed::Granted(Box::new(self.granted(id)))
    }

    fn granted(&self, attempt: i64) -> Answer {
        let (attempt, _) = &*self.attempts[super::place(attempt)];
        let run = self.run(attempt.run);
        Answer::Granted {
            run: run.id,
            attempt: attempt.id,
            number: attempt.number,
            version: run.version,
            retry_count: run.retry_count,
            queued_at: run.queued_at,
            expires: attempt.expires,
            started: attempt.started_at.is_some(),
        }
    }

    /// A call under a lease.
    pub(super) fn call(&mut self, by: &Principal, run: i64, lease: Shown, call: &Call) -> Answer {
        let under = |(a, token): &&(AttemptRow, Number)| {
            lease == Shown { of: *token, how: How::Whole } && a.run == run && a.runner == Some(by.id)
        };
        let Some((attempt, _)) = self.all_attempts().find(under).cloned() else {
            return Answer::Refused(No::Gone);
        };
        if let Call::Result(ending) = call
            && attempt.ended_by == Some(EndedBy::Result)
        {
            // Accepted once, it is answered for ever.
            let same = attempt.status == ending.status;
            return if same { Answer::Done } else { Answer::Refused(No::Conflict) };
        }
        if !attempt.status.is_active() || self.now >= attempt.expires {
            return Answer::Refused(No::Gone);
        }
        let now = self.now;
        // Whoever makes a call has heard of the lease. One that is only leased may be asked for again until it is started.
        let heard = match call {
            Call::Start => true,
            Call::Heartbeat | Call::Logs(..) => attempt.status != Status::Leased,
            Call::Result(_) | Call::Release | Call::Artifact => false,
        };
        if heard {
            self.attempt_mut(attempt.id).request = None;
        }
        match call {
            Call::Start => {
                if attempt.status == Status::Leased {
                    let held = self.attempt_mut(attempt.id);
                    (held.status, held.started_at) = (Status::Running, Some(now));
                    let run = self.run_mut(run);
                    run.status = Status::Running;
                    run.started_at = run.started_at.or(Some(now));
                }
                self.held(attempt.id)
            }
            Call::Heartbeat => {
                self.attempt_mut(attempt.id).expires = attempt.expires.max(now + TTL_MS);
                self.held(attempt.id)
            }
            Call::Logs(from, to, text) => {
                for seq in *from..*to {
                    Arc::make_mut(&mut self.logs)
                        .entry((attempt.id, seq))
                        .or_insert_with(|| line(seq, *text));
                }
                Answer::Done
            }
            Call::Artifact => Answer::Done,
            Call::Result(ending) => self.result(&attempt, ending),
            Call::Release => {
                self.release(attempt.id);
                Answer::Done
            }
        }
    }

    fn held(&self, attempt: i64) -> Answer {
        let (attempt, _) = &*self.attempts[super::place(attempt)];
        let run = self.run(attempt.run);
        Answer::Held { status: run.status, cancel_requested: run.cancel_requested, expires: attempt.expires }
    }

    fn result(&mut self, attempt: &AttemptRow, ending: &Ending) -> Answer {
        if attempt.status == Status::Cancelling && ending.status != Status::Cancelled {
            return Answer::Refused(No::Conflict);
        }
        let now = self.now;
        let held = self.attempt_mut(attempt.id);
        (held.status, held.finished_at, held.ended_by) = (ending.status, Some(now), Some(EndedBy::Result));
        (held.exit_code, held.message) = (Some(ending.exit_code), ending.message.clone());
        let run = self.run_mut(attempt.run);
        let asked = run.retry.filter(|retry| if ending.timeout { retry.timeout } else { retry.failed });
        if let Some(retry) = asked
            && ending.status == Status::Failed
            && run.retry_count < run.max_retries
        {
            let doubled = retry.backoff << run.retry_count.min(8);
            let at = now + doubled.min(LONGEST_BACKOFF_MS);
            run.retry_count += 1;
            (run.status, run.queued_at) = (Status::Queued, at);
            run.not_before = (at > now).then_some(at);
            return Answer::Done;
        }
        (run.status, run.finished_at) = (ending.status, Some(now));
        (run.exit_code, run.message) = (Some(ending.exit_code), ending.message.clone());
        Answer::Done
    }

    /// An attempt is given back: the run keeps its place and its retries.
    pub(super) fn release(&mut self, attempt: i64) {
        let (now, cancelling) =
            (self.now, self.attempts[super::place(attempt)].0.status == Status::Cancelling);
        let held = self.attempt_mut(attempt);
        held.status = if cancelling { Status::Cancelled } else { Status::Released };
        (held.finished_at, held.ended_by) = (Some(now), Some(EndedBy::Release));
        let run = held.run;
        let run = self.run_mut(run);
        if cancelling {
            (run.status, run.finished_at) = (Status::Cancelled, Some(now));
        } else {
            run.status = Status::Queued;
        }
    }

    /// An attempt's runner is lost: a cancel wins, then the retries decide.
    pub(super) fn lose(&mut self, attempt: i64, by: EndedBy, why: &str) {
        let (now, cancelling) =
            (self.now, self.attempts[super::place(attempt)].0.status == Status::Cancelling);
        let held = self.attempt_mut(attempt);
        held.status = if cancelling { Status::Cancelled } else { Status::Expired };
        (held.finished_at, held.ended_by, held.message) = (Some(now), Some(by), Some(why.to_owned()));
        let run = held.run;
        let run = self.run_mut(run);
        if cancelling {
            (run.status, run.finished_at) = (Status::Cancelled, Some(now));
        } else if run.retry_count < run.max_retries && run.retry.is_none_or(|retry| retry.lost) {
            (run.status, run.queued_at) = (Status::Queued, now);
            run.retry_count += 1;
        } else {
            (run.status, run.finished_at, run.message) = (Status::Dead, Some(now), Some(why.to_owned()));
        }
    }

    pub(super) fn cancel(&mut self, run: i64) {
        let now = self.now;
        match self.run(run).status {
            Status::Queued => {
                let run = self.run_mut(run);
                (run.status, run.cancel_requested, run.finished_at) = (Status::Cancelled, true, Some(now));
                run.not_before = None;
            }
            Status::Leased | Status::Running => {
                let attempt = self.active_of_run(run).unwrap().0.id;
                self.attempt_mut(attempt).status = Status::Cancelling;
                let run = self.run_mut(run);
                (run.status, run.cancel_requested) = (Status::Cancelling, true);
            }
            _ => {}
        }
    }

    /// The second half of a sign-off: what was not started is given back, and so is what the poll that was given up has started unheard.
    pub(super) fn give_back(&mut self, runner: i64, given_up: Option<&String>) {
        let Some((held, _)) = self.active_of_runner(runner) else { return };
        let unheard = given_up.is_some() && held.request.as_ref() == given_up;
        let (id, expired) = (held.id, self.now >= held.expires);
        match (held.started_at.is_some() && !unheard, expired) {
            (true, _) => {}
            (false, false) => {
                self.forget_start(id);
                self.release(id);
            }
            (false, true) => self.lose(id, EndedBy::Expiry, EXPIRED),
        }
    }

    /// Nobody has heard that this attempt was started, so it never was.
    pub(super) fn forget_start(&mut self, attempt: i64) {
        let held = self.attempt_mut(attempt);
        let started_at = held.started_at.take();
        let run = held.run;
        let run = self.run_mut(run);
        if run.started_at == started_at {
            run.started_at = None;
        }
    }

    /// Everything that has run out ends, and whatever has waited long enough is ready.
    pub(super) fn reap(&mut self) {
        let overdue = |a: &AttemptRow| a.status.is_active() && self.now >= a.expires;
        let overdue: Vec<i64> = self.all_attempts().filter(|(a, _)| overdue(a)).map(|(a, _)| a.id).collect();
        for attempt in overdue {
            self.lose(attempt, EndedBy::Expiry, EXPIRED);
        }
        let now = self.now;
        for run in &mut self.runs {
            if run.not_before.is_some_and(|at| at <= now) {
                Arc::make_mut(run).not_before = None;
            }
        }
    }

    /// The server starts again: every lease lasts its full length from now, and no poll is open.
    pub(super) fn restart(&mut self) {
        let end = self.now + TTL_MS;
        for attempt in self.attempts.iter_mut().filter(|attempt| attempt.0.status.is_active()) {
            Arc::make_mut(attempt).0.expires = end;
        }
        self.newest.clear();
        self.served = Arc::default();
        self.stopping = false;
    }
}

/// What a line of a log says.
pub(crate) fn line(seq: i64, text: u8) -> String {
    let stream = if seq % 3 == 0 { "stderr" } else { "stdout" };
    format!("{stream} line {seq} of {text}")
}
