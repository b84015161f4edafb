//! What the model remembers: the server's rows, the runners' machines, the network, and what was promised to whom.
//!
//! Only data. Times are ticks counted from now (what lies ahead) or ranks (what lies behind), so that a state is the same whenever it
//! is reached: the space is finite without a bound on time.

use minitower_rules::domain::attempt::EndedBy;

use crate::promises::Promise;
use minitower_vocabulary::statuses::{AttemptStatus, ResultStatus, RunStatus};

/// An id that nothing else in the state shares: it will never be equal to another.
pub(crate) const NOBODY: u8 = u8::MAX;
/// A lease token that was replaced, or whose attempt nothing else remembers.
pub(crate) const VOID: u8 = u8::MAX;
/// Former processes that a runner remembers; the least recent are forgotten first.
pub(crate) const FORMER: usize = 2;

/// All of it.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct State {
    /// By id.
    pub(crate) runs: Vec<Run>,
    /// Those that are active or that something still refers to. The position stands for the current lease token.
    pub(crate) attempts: Vec<Attempt>,
    /// By name.
    pub(crate) runners: Vec<Runner>,
    /// In flight; sorted, each once: delivering one does not remove it when the network repeats it.
    pub(crate) messages: Vec<Message>,
    /// In the server's memory: the team that had the last lease, as long as another one has runs too. 0: there was no lease since the start.
    /// Of two teams the other one had its last lease before, or none, which comes to the same.
    pub(crate) served: i64,
    /// How long the server has been down, and one; 0: it is up. Only models with outages use it.
    pub(crate) outage: u8,
    /// The promise that the last step broke.
    pub(crate) broken: Option<Promise>,
}

/// A run's row, and what was acknowledged about it.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct Run {
    /// None: not created yet.
    pub(crate) status: Option<RunStatus>,
    /// Retries used.
    pub(crate) used: u8,
    /// Whether a cancel was asked for.
    pub(crate) cancel_requested: bool,
    /// Ticks until its backoff has passed; none: it waits for none.
    pub(crate) waits: Option<u8>,
    /// Its place in the queue as the rules have it: 0 now, less is earlier.
    pub(crate) queued_at: i8,
    /// Its place as promised, kept by the model alone.
    pub(crate) place: i8,
    /// The result that was acknowledged.
    pub(crate) accepted: Option<ResultStatus>,
    /// Whether a cancel was acknowledged before the run had ended.
    pub(crate) cancel_acknowledged: bool,
    /// Attempts so far, where the model bounds them; else 0.
    pub(crate) attempts: u8,
}

/// An attempt's row.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct Attempt {
    pub(crate) run: u8,
    pub(crate) runner: u8,
    pub(crate) status: AttemptStatus,
    /// Ticks until the lease is dead.
    pub(crate) expires: u8,
    /// The process it was leased to.
    pub(crate) instance: u8,
    /// The poll it was leased to, as long as that may be asked again.
    pub(crate) request: u8,
    /// Whether it was ever started.
    pub(crate) started: bool,
    pub(crate) ended_by: Option<EndedBy>,
    /// In the server's memory: the poll had gone by the time it was to be answered.
    pub(crate) unheard: bool,
}

/// A runner's name, its machine and its fences.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct Runner {
    /// How many owners hold a fence on the name. Which of them is all the same to the rules.
    pub(crate) fences: u8,
    /// The agent; none: it is dead.
    pub(crate) process: Option<Process>,
    /// On disk: processes that ended before a poll went through, to be named as superseded.
    pub(crate) former: [u8; FORMER],
    /// What executes under the supervisor, which outlives the agent.
    pub(crate) job: Option<Job>,
}

/// An agent. One that is stopped (SIGSTOP) or stuck is one that takes no step while the ticks go on.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct Process {
    pub(crate) instance: u8,
    /// What its next poll is called, or what its last one was called if that may have held a lease.
    pub(crate) request: u8,
    pub(crate) phase: Phase,
}

/// What an agent is about; `token` as in [`State::attempts`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) enum Phase {
    /// It polls.
    Idle,
    /// It has a lease, and tells the server that it begins.
    Leased { token: u8 },
    /// The server knows; nothing runs before a heartbeat was answered.
    Started { token: u8 },
    /// The job is under way; `cancel`: to be stopped.
    Executing { token: u8, cancel: bool },
    /// The job has ended, and the server is to hear how.
    Concluding { token: u8, verdict: Verdict },
}

/// How an attempt ended, as the runner sees it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) enum Verdict {
    /// With a result.
    Result(ResultStatus),
    /// It was given up.
    Release,
}

/// An executing job under its supervisor.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct Job {
    pub(crate) run: u8,
    pub(crate) token: u8,
    pub(crate) timer: Timer,
}

/// What a runner counts on its own clock.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct Timer {
    /// Ticks of the runner's clock since the heartbeat was sent that last extended the lease.
    pub(crate) age: u8,
    /// Ticks of the server's clock that the runner's clock has missed since then.
    pub(crate) behind: u8,
}

/// A message on its way from or to a runner.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct Message {
    pub(crate) runner: u8,
    pub(crate) body: Body,
}

/// A request of a runner, or an answer to one.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) enum Body {
    /// For work. `awaited`: its answer will be heard.
    Poll { instance: u8, request: u8, supersedes: Option<u8>, start: bool, awaited: bool },
    /// Nothing more will be polled for, and this poll was given up.
    SignOff { given_up: Option<u8> },
    /// Begin.
    Start { token: u8 },
    /// Still alive. `awaited`: sent so long ago as the timer says.
    Heartbeat { token: u8, awaited: Option<Timer> },
    /// The end.
    Conclude { token: u8, verdict: Verdict },

    /// Work; `started`: it counts as begun.
    Lease { token: u8, started: bool },
    /// 204.
    Nothing,
    /// 409 to a poll.
    Busy,
    /// The start was heard.
    Started { token: u8, cancel: bool },
    /// The heartbeat was.
    Extended { token: u8, sent: Timer, cancel: bool },
    /// The end was.
    Concluded { token: u8 },
    /// 409: a cancel came first, or another result.
    Conflict { token: u8 },
    /// 410.
    Gone { token: u8 },
}

impl Phase {
    /// The lease that it is about.
    pub(crate) fn token(self) -> Option<u8> {
        match self {
            Self::Idle => None,
            Self::Leased { token }
            | Self::Started { token }
            | Self::Executing { token, .. }
            | Self::Concluding { token, .. } => Some(token),
        }
    }
}

impl Body {
    /// Whether it goes to the server.
    pub(crate) fn is_request(&self) -> bool {
        matches!(
            self,
            Self::Poll { .. }
                | Self::SignOff { .. }
                | Self::Start { .. }
                | Self::Heartbeat { .. }
                | Self::Conclude { .. }
        )
    }

    /// The lease token in it.
    pub(crate) fn token_mut(&mut self) -> Option<&mut u8> {
        match self {
            Self::Poll { .. } | Self::SignOff { .. } | Self::Nothing | Self::Busy => None,
            Self::Start { token }
            | Self::Heartbeat { token, .. }
            | Self::Conclude { token, .. }
            | Self::Lease { token, .. }
            | Self::Started { token, .. }
            | Self::Extended { token, .. }
            | Self::Concluded { token }
            | Self::Conflict { token }
            | Self::Gone { token } => Some(token),
        }
    }
}

impl State {
    /// Applies `change` to every lease token that is held anywhere.
    pub(crate) fn each_token(&mut self, mut change: impl FnMut(&mut u8)) {
        for runner in &mut self.runners {
            if let Some(process) = &mut runner.process {
                match &mut process.phase {
                    Phase::Idle => {}
                    Phase::Leased { token }
                    | Phase::Started { token }
                    | Phase::Executing { token, .. }
                    | Phase::Concluding { token, .. } => change(token),
                }
            }
            if let Some(job) = &mut runner.job {
                change(&mut job.token);
            }
        }
        for message in &mut self.messages {
            if let Some(token) = message.body.token_mut() {
                change(token);
            }
        }
    }

    /// The active attempt of a runner.
    pub(crate) fn active_of_runner(&self, runner: u8) -> Option<usize> {
        self.attempts.iter().position(|a| a.runner == runner && a.status.is_active())
    }

    /// The active attempt at a run.
    pub(crate) fn active_of_run(&self, run: u8) -> Option<usize> {
        self.attempts.iter().position(|a| a.run == run && a.status.is_active())
    }

    /// Whether the process that this attempt was leased to is alive.
    pub(crate) fn is_holder_alive(&self, attempt: &Attempt) -> bool {
        let process = &self.runners[usize::from(attempt.runner)].process;
        process.as_ref().is_some_and(|p| p.instance == attempt.instance)
    }
}
