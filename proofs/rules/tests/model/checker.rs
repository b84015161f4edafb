//! The model as the checker walks it: which steps there are from a state, and what each leads to.

use std::collections::HashSet;
use std::sync::Mutex;

use stateright::{Model, Property};

use crate::canon::canonical;
use crate::config::{Bound, Config, Faults, Met};
use crate::outage;
use crate::promises;
use crate::runner::NO_FORMER;
use crate::state::{Body, FORMER, Message, Phase, Process, Run, Runner, State};
use crate::steps;
use minitower_vocabulary::statuses::ResultStatus;

/// The lease protocol with its surroundings.
#[derive(Debug)]
pub(crate) struct Protocol {
    pub(crate) config: Config,
    pub(crate) met: Met,
    /// Digests of the states from which a healed system was seen to finish.
    pub(crate) healed: Mutex<HashSet<u64>>,
}

/// A state that is being changed.
pub(crate) struct Step<'m> {
    pub(crate) config: &'m Config,
    pub(crate) met: &'m Met,
    pub(crate) state: State,
}

/// A step.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Action {
    /// A person queues a run.
    Create(u8),
    /// A person cancels a run.
    Cancel(u8),
    /// Time passes; so many ticks on each runner's clock.
    Tick([u8; 2]),
    /// The reaper looks at an attempt.
    Reap(u8),
    /// The end of a run's backoff is looked for.
    Wake(u8),
    /// The server dies.
    GoDown,
    /// The server has died and starts; its wall clock has jumped by so much.
    Restart(i8),
    /// A message arrives. `keeps`: and will once more. `vanishes`: the poll has gone by the time it is answered, and the server notices.
    Deliver { message: Message, keeps: bool, vanishes: bool },
    /// A message is lost.
    Lose(Message),
    /// The server gives a lease back that nobody heard of.
    ReleaseUnheard(u8),
    /// The operator reports the end of the process that holds the attempt, or of another.
    ReportEnd { runner: u8, holder: bool },
    /// Another owner fences the runner.
    Fence(u8),
    /// An owner takes its fence away.
    Unfence(u8),
    /// The agent polls, and perhaps asks to start what it gets.
    Ask(u8, bool),
    /// The agent makes the call that is due.
    Call(u8),
    /// The agent signs off, and perhaps names the poll that it gave up.
    SignOff(u8, bool),
    /// The job ends by itself.
    JobEnds(u8, ResultStatus),
    /// The agent gives its run up.
    GiveBack(u8),
    /// The agent dies.
    Crash(u8),
    /// The supervisor of a dead agent kills the job.
    KillOrphan(u8),
    /// A successor of a dead agent starts.
    Begin(u8),
}

impl Protocol {
    pub(crate) fn new(config: Config) -> Self {
        Self { config, met: Met::new(), healed: Mutex::default() }
    }
}

impl Model for Protocol {
    type State = State;
    type Action = Action;

    fn init_states(&self) -> Vec<State> {
        let run = Run {
            status: None,
            used: 0,
            cancel_requested: false,
            waits: None,
            queued_at: 0,
            place: 0,
            accepted: None,
            cancel_acknowledged: false,
            attempts: 0,
        };
        let process = Process { instance: 0, request: 0, phase: Phase::Idle };
        let runner = Runner { fences: 0, process: Some(process), former: [NO_FORMER; FORMER], job: None };
        let first = State {
            runs: vec![run; self.config.priorities.len()],
            attempts: Vec::new(),
            runners: vec![runner; self.config.runners.into()],
            messages: Vec::new(),
            served: 0,
            outage: 0,
            broken: None,
        };
        vec![canonical(first, &self.config)]
    }

    fn actions(&self, state: &State, actions: &mut Vec<Action>) {
        if state.broken.is_some() {
            return;
        }
        match self.config.faults {
            Faults::Any => steps::anything(&self.config, state, actions),
            Faults::Outages { longest, heartbeat } => {
                outage::actions(&self.config, (longest, heartbeat), state, actions);
            }
        }
    }

    fn next_state(&self, last: &State, action: Action) -> Option<State> {
        let mut step = Step { config: &self.config, met: &self.met, state: last.clone() };
        step.act(&action)?;
        let state = canonical(step.state, &self.config);
        if state.messages.len() > self.config.in_flight {
            self.met.bound(Bound::Messages);
            return None;
        }
        Some(state)
    }

    fn properties(&self) -> Vec<Property<Self>> {
        promises::properties(&self.config)
    }
}

impl Step<'_> {
    /// Takes a step. None: it cannot be taken here, or leads out of the model.
    pub(crate) fn act(&mut self, action: &Action) -> Option<()> {
        match action {
            Action::Create(run) => self.create(*run),
            Action::Cancel(run) => self.cancel(*run),
            Action::Tick(advances) => return self.tick(*advances),
            Action::Reap(at) => return self.reap((*at).into()),
            Action::Wake(run) => return self.wake(*run),
            Action::GoDown => {
                self.state.outage = 1;
                self.state.messages.clear();
            }
            Action::Restart(jump) => {
                self.state.outage = 0;
                self.restart(*jump);
            }
            Action::Deliver { message, keeps, vanishes } => return self.deliver(message, *keeps, *vanishes),
            Action::Lose(message) => self.state.messages.retain(|m| m != message),
            Action::ReleaseUnheard(at) => self.release_unheard((*at).into()),
            Action::ReportEnd { runner, holder } => self.report_end(*runner, *holder),
            Action::Fence(runner) => self.state.runners[usize::from(*runner)].fences += 1,
            Action::Unfence(runner) => self.state.runners[usize::from(*runner)].fences -= 1,
            Action::Ask(runner, start) => return self.ask_for_work(*runner, *start),
            Action::Call(runner) => return self.call_server(*runner),
            Action::SignOff(runner, names_poll) => return self.leave(*runner, *names_poll),
            Action::JobEnds(runner, status) => return self.job_ends(*runner, *status),
            Action::GiveBack(runner) => return self.give_back(*runner),
            Action::Crash(runner) => return self.crash(*runner),
            Action::KillOrphan(runner) => return self.kill_orphan(*runner),
            Action::Begin(runner) => return self.begin(*runner),
        }
        Some(())
    }

    /// A message arrives: at the server, which answers it, or at the runner.
    pub(crate) fn deliver(&mut self, message: &Message, keeps: bool, vanishes: bool) -> Option<()> {
        let runner = message.runner;
        if !keeps {
            self.state.messages.retain(|m| m != message);
        }
        let answer = match message.body {
            Body::Poll { instance, request, supersedes, start, awaited } => {
                let answer = self.poll(runner, (instance, request), supersedes, start)?;
                if !awaited || vanishes {
                    let Body::Lease { token, .. } = answer else {
                        // Nothing is different from a poll that was heard by nobody.
                        return (!vanishes).then_some(());
                    };
                    self.state.attempts[usize::from(token)].unheard = true;
                    return Some(());
                }
                answer
            }
            Body::SignOff { given_up } => {
                self.sign_off(runner, given_up);
                return Some(());
            }
            Body::Start { token } | Body::Heartbeat { token, .. } | Body::Conclude { token, .. } => {
                self.call(token, &message.body)
            }
            _ => return self.hear(runner, &message.body),
        };
        self.send(runner, answer);
        Some(())
    }
}
