//! The runner: its agent, its supervisor, and the clock that both count on.
//!
//! What an agent may do is offered, never forced: one that is slow, stuck or stopped is one that does not do it. Only the supervisor is
//! punctual: at the tick that reaches its deadline no job is left. The margin between that deadline and the lease's end has to cover
//! what the clocks differ by.

use crate::checker::Step;
use crate::config::Event;
use crate::state::{Body, FORMER, Job, Message, NOBODY, Phase, Process, Timer, VOID, Verdict};
use minitower_vocabulary::statuses::ResultStatus;

impl Step<'_> {
    fn process(&mut self, runner: u8) -> Option<&mut Process> {
        self.state.runners[usize::from(runner)].process.as_mut()
    }

    fn phase(&self, runner: u8) -> Option<Phase> {
        self.state.runners[usize::from(runner)].process.as_ref().map(|p| p.phase)
    }

    fn enter(&mut self, runner: u8, phase: Phase) {
        let request = (phase == Phase::Idle).then(|| self.unused_id());
        if let Some(process) = self.process(runner) {
            process.phase = phase;
            process.request = request.unwrap_or(process.request);
        }
        let executes = matches!(phase, Phase::Executing { .. });
        if !executes {
            self.state.runners[usize::from(runner)].job = None;
        }
    }

    /// An id that nothing has yet. Ids are numbered anew after each step.
    fn unused_id(&self) -> u8 {
        let mut used = 0_u16;
        let mut mark = |id: u8| {
            if id < FORGOTTEN {
                used |= 1 << id;
            }
        };
        for runner in &self.state.runners {
            runner.former.iter().for_each(|id| mark(*id));
            if let Some(process) = &runner.process {
                mark(process.instance);
                mark(process.request);
            }
        }
        for attempt in &self.state.attempts {
            mark(attempt.instance);
            mark(attempt.request);
        }
        for message in &self.state.messages {
            match message.body {
                Body::Poll { instance, request, supersedes, .. } => {
                    mark(instance);
                    mark(request);
                    mark(supersedes.unwrap_or(NOBODY));
                }
                Body::SignOff { given_up } => mark(given_up.unwrap_or(NOBODY)),
                _ => {}
            }
        }
        used.trailing_ones().try_into().expect("sixteen ids are enough")
    }

    pub(crate) fn send(&mut self, runner: u8, body: Body) {
        let message = Message { runner, body };
        if !self.state.messages.contains(&message) {
            self.state.messages.push(message);
        }
    }

    /// The agent asks for work, by the same name as before unless it has heard of that poll, and perhaps to start it at once.
    pub(crate) fn ask_for_work(&mut self, runner: u8, start: bool) -> Option<()> {
        let named = self.state.runners[usize::from(runner)].former[0];
        let process = self.process(runner).filter(|p| p.phase == Phase::Idle)?;
        let (instance, request) = (process.instance, process.request);
        // Whatever it asked before, that answer will not be heard any more.
        self.state.messages.retain(|m| {
            m.runner != runner || !matches!(m.body, Body::Lease { .. } | Body::Nothing | Body::Busy)
        });
        for message in self.state.messages.iter_mut().filter(|m| m.runner == runner) {
            if let Body::Poll { awaited, .. } = &mut message.body {
                *awaited = false;
            }
        }
        let supersedes = (named != NO_FORMER).then_some(if named == FORGOTTEN { NOBODY } else { named });
        self.send(runner, Body::Poll { instance, request, supersedes, start, awaited: true });
        Some(())
    }

    /// The agent signs off, and names the poll that it gave up if there is one. It may be one from before a run that the network delays.
    pub(crate) fn leave(&mut self, runner: u8, names_poll: bool) -> Option<()> {
        let given_up = self.process(runner)?.request;
        self.send(runner, Body::SignOff { given_up: names_poll.then_some(given_up) });
        Some(())
    }

    /// The agent makes the call that is due.
    pub(crate) fn call_server(&mut self, runner: u8) -> Option<()> {
        let body = match self.phase(runner)? {
            Phase::Idle => return None,
            Phase::Leased { token } => Body::Start { token },
            Phase::Started { token } | Phase::Executing { token, .. } => {
                for message in self.state.messages.iter_mut().filter(|m| m.runner == runner) {
                    if let Body::Heartbeat { awaited, .. } = &mut message.body {
                        *awaited = None;
                    }
                }
                self.state
                    .messages
                    .retain(|m| m.runner != runner || !matches!(m.body, Body::Extended { .. }));
                Body::Heartbeat { token, awaited: Some(Timer::default()) }
            }
            Phase::Concluding { token, verdict } => Body::Conclude { token, verdict },
        };
        self.send(runner, body);
        Some(())
    }

    /// The job ends by itself.
    pub(crate) fn job_ends(&mut self, runner: u8, status: ResultStatus) -> Option<()> {
        let Phase::Executing { token, cancel } = self.phase(runner)? else { return None };
        // Whoever asked for a cancel gets one, even if the job was faster.
        let status = if cancel { ResultStatus::Cancelled } else { status };
        self.enter(runner, Phase::Concluding { token, verdict: Verdict::Result(status) });
        Some(())
    }

    /// The agent gives its run up: it is to stop, or could not begin.
    pub(crate) fn give_back(&mut self, runner: u8) -> Option<()> {
        let (Phase::Leased { token } | Phase::Started { token } | Phase::Executing { token, .. }) =
            self.phase(runner)?
        else {
            return None;
        };
        self.enter(runner, Phase::Concluding { token, verdict: Verdict::Release });
        Some(())
    }

    /// The agent dies. Its job is still there until its supervisor notices.
    pub(crate) fn crash(&mut self, runner: u8) -> Option<()> {
        let row = &mut self.state.runners[usize::from(runner)];
        let process = row.process.take()?;
        row.former.copy_within(0..FORMER - 1, 1);
        row.former[0] = process.instance;
        Some(())
    }

    /// A successor starts: it has the lock, so the former agent is dead, and it kills what that has left.
    pub(crate) fn begin(&mut self, runner: u8) -> Option<()> {
        if self.phase(runner).is_some() {
            return None;
        }
        self.kill_orphan(runner);
        let instance = self.unused_id();
        let row = &mut self.state.runners[usize::from(runner)];
        row.process = Some(Process { instance, request: instance, phase: Phase::Idle });
        let request = self.unused_id();
        self.process(runner)?.request = request;
        Some(())
    }

    /// The supervisor of a dead agent kills the job.
    pub(crate) fn kill_orphan(&mut self, runner: u8) -> Option<()> {
        if self.phase(runner).is_some() {
            return None;
        }
        self.state.runners[usize::from(runner)].job.take()?;
        self.met.event(Event::Orphaned);
        Some(())
    }

    /// An answer arrives.
    pub(crate) fn hear(&mut self, runner: u8, answer: &Body) -> Option<()> {
        let phase = self.phase(runner)?;
        let answered = |token: u8| phase.token() == Some(token);
        match *answer {
            Body::Lease { token, started } => {
                self.settle(runner);
                self.enter(runner, if started { Phase::Started { token } } else { Phase::Leased { token } });
            }
            Body::Nothing => {
                self.settle(runner);
                self.enter(runner, Phase::Idle);
            }
            Body::Busy => {
                // The attempt may be that of another former process.
                let former = &mut self.state.runners[usize::from(runner)].former;
                let count = former.iter().filter(|id| **id != NO_FORMER).count();
                former[..count].rotate_left(count.min(1));
                self.enter(runner, Phase::Idle);
            }
            Body::Started { token, cancel } if phase == (Phase::Leased { token }) => {
                let verdict = Verdict::Result(ResultStatus::Cancelled);
                let next =
                    if cancel { Phase::Concluding { token, verdict } } else { Phase::Started { token } };
                self.enter(runner, next);
            }
            Body::Extended { token, sent, cancel } if answered(token) => {
                self.extend(runner, phase, sent, cancel);
            }
            Body::Concluded { token } if answered(token) => self.enter(runner, Phase::Idle),
            Body::Conflict { token } if answered(token) => match phase {
                Phase::Concluding { verdict: Verdict::Result(status), .. }
                    if status != ResultStatus::Cancelled =>
                {
                    let verdict = Verdict::Result(ResultStatus::Cancelled);
                    self.enter(runner, Phase::Concluding { token, verdict });
                }
                _ => self.enter(runner, Phase::Idle),
            },
            Body::Gone { token } if answered(token) => self.enter(runner, Phase::Idle),
            _ => {}
        }
        Some(())
    }

    /// A poll went through: nothing of former processes is open any more.
    fn settle(&mut self, runner: u8) {
        self.state.runners[usize::from(runner)].former = [NO_FORMER; FORMER];
    }

    fn extend(&mut self, runner: u8, phase: Phase, sent: Timer, cancel: bool) {
        if sent.age >= self.config.usable() {
            return;
        }
        match phase {
            Phase::Started { token } if cancel => {
                let verdict = Verdict::Result(ResultStatus::Cancelled);
                self.enter(runner, Phase::Concluding { token, verdict });
            }
            Phase::Started { token } => {
                // A void token cannot be extended, so it stands for a row.
                let run = self.state.attempts.get(usize::from(token)).map_or(VOID, |a| a.run);
                self.state.runners[usize::from(runner)].job = Some(Job { run, token, timer: sent });
                self.enter(runner, Phase::Executing { token, cancel: false });
            }
            Phase::Executing { token, cancel: heard } => {
                if let Some(job) = &mut self.state.runners[usize::from(runner)].job {
                    job.timer = sent;
                }
                self.enter(runner, Phase::Executing { token, cancel: cancel || heard });
            }
            _ => {}
        }
    }

    /// A tick of the server's clock, while each runner's clock advances by so much. None: a clock would be further off than it may.
    pub(crate) fn tick(&mut self, advances: [u8; 2]) -> Option<()> {
        if self.state.outage > 0 {
            self.state.outage += 1;
        }
        for attempt in &mut self.state.attempts {
            attempt.expires = attempt.expires.saturating_sub(1);
        }
        for run in &mut self.state.runs {
            run.waits = run.waits.map(|ticks| ticks.saturating_sub(1));
            run.queued_at -= 1;
            run.place -= 1;
        }
        for (runner, advance) in (0_u8..).zip(advances).take(self.state.runners.len()) {
            let count = |timer: &mut Timer| {
                timer.age += advance;
                timer.behind += u8::from(advance == 0);
                timer.behind <= self.config.drift
            };
            let row = &mut self.state.runners[usize::from(runner)];
            let mut fits = row.job.as_mut().is_none_or(|job| count(&mut job.timer));
            for message in self.state.messages.iter_mut().filter(|m| m.runner == runner) {
                match &mut message.body {
                    Body::Heartbeat { awaited: Some(sent), .. } | Body::Extended { sent, .. } => {
                        fits &= count(sent);
                    }
                    _ => {}
                }
            }
            if !fits {
                return None;
            }
            if row.job.as_ref().is_some_and(|job| job.timer.age >= self.config.usable()) {
                self.met.event(Event::KilledByDeadline);
                row.job = None;
                if let Some(Phase::Executing { token, cancel }) = self.phase(runner) {
                    let verdict =
                        if cancel { Verdict::Result(ResultStatus::Cancelled) } else { Verdict::Release };
                    self.enter(runner, Phase::Concluding { token, verdict });
                }
            }
        }
        Some(())
    }
}

/// No former process is left to name.
pub(crate) const NO_FORMER: u8 = NOBODY;
/// A former process whose attempts nothing remembers: naming it has no effect, but it is named.
pub(crate) const FORGOTTEN: u8 = NOBODY - 1;
