//! Why a run is not running: one reason, in words that a person acts on.
//!
//! The reasons come in the order in which a claim meets them, so the first one that holds is the one that keeps the run from a runner.

use std::fmt;

use minitower_vocabulary::ids::RunId;
use minitower_vocabulary::statuses::{PoolState, RunStatus};
use minitower_vocabulary::time::Timestamp;

use crate::domain::after::{After, Until};
use crate::domain::pools::{Pool, deciding};
use crate::domain::run::{Blocked, RunState, Wait};

/// What is known of a run and of what is around it.
#[derive(Debug, Clone)]
pub struct Facts {
    /// Where it stands.
    pub state: RunState,
    /// Its app.
    pub app: String,
    /// Where it runs.
    pub environment: String,
    /// The runner of its newest attempt.
    pub runner: Option<String>,
    /// Its place among the ready runs of its team there, from 1; only a ready run has one.
    pub position: Option<u64>,
    /// Whether its app is disabled.
    pub disabled: bool,
    /// The limit that it shares.
    pub shared: Option<Shared>,
    /// What it comes after and is not so yet, with the status of those runs; no status: it was deleted.
    pub waits_for: Vec<(After, Option<RunStatus>)>,
    /// How many runs of its team are active, and how many may be.
    pub team: Places,
    /// Why the server begins no run now.
    pub no_room: Option<String>,
    /// The runners that serve its team there.
    pub runners: Runners,
    /// The pools that serve its team there, as far as their operators tell.
    pub pools: Vec<Pool>,
}

/// How many runs are active, and how many may be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Places {
    /// Are.
    pub active: i64,
    /// May be.
    pub max: i64,
}

impl Places {
    const fn are_taken(self) -> bool {
        self.active >= self.max
    }
}

/// The limit of a key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Shared {
    /// The key.
    pub key: String,
    /// Its places.
    pub places: Places,
    /// Some of the runs that have them.
    pub holders: Vec<RunId>,
}

/// Runners that are online.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Runners {
    /// All of them.
    pub online: u64,
    /// Those that hold a run.
    pub busy: u64,
    /// Those that hold none, and that a fence keeps from work.
    pub drained: u64,
}

impl Runners {
    /// Those that may take a run now.
    pub const fn idle(self) -> u64 {
        self.online.saturating_sub(self.busy).saturating_sub(self.drained)
    }
}

/// Why a run is not running.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Reason {
    /// It is not queued.
    Status(RunStatus),
    /// Something keeps it out of the queue.
    Blocked(Blocked),
    /// The server has no room for runs more that are under way.
    NoRoom,
    /// No runner is free, and a pool decides when there is one.
    Pool(PoolState),
    /// No runner is online that serves it.
    NoRunner,
    /// All that are idle are drained.
    Drained,
    /// All are busy.
    Busy,
    /// It is in the queue, and runners are there: it is its turn, or others come first.
    Queue,
}

impl Reason {
    /// All words that are no statuses.
    pub const WORDS: [&'static str; 13] = [
        "after",
        "backoff",
        "disabled",
        "limit",
        "no_room",
        "pool_growing",
        "pool_broken",
        "pool_at_maximum",
        "pool_paused",
        "no_runner",
        "drained",
        "busy",
        "queue",
    ];

    /// The word.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Status(status) => status.as_str(),
            Self::Blocked(reason) => reason.as_str(),
            Self::NoRoom => "no_room",
            Self::Pool(PoolState::Growing) => "pool_growing",
            Self::Pool(PoolState::Broken) => "pool_broken",
            Self::Pool(PoolState::AtMaximum) => "pool_at_maximum",
            Self::Pool(PoolState::Paused) => "pool_paused",
            Self::NoRunner => "no_runner",
            Self::Drained => "drained",
            // A pool that is ready decides nothing.
            Self::Busy | Self::Pool(PoolState::Ready) => "busy",
            Self::Queue => "queue",
        }
    }
}

/// Which limit is reached.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reached {
    /// The key; none: the limit `active_runs` of the team.
    pub key: Option<String>,
    /// Its places.
    pub places: Places,
    /// Some of the runs that have them.
    pub holders: Vec<RunId>,
}

/// The answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Explanation {
    /// The reason.
    pub reason: Reason,
    /// For people, with the way out.
    pub message: String,
    /// Its place among the ready runs of its team there.
    pub position: Option<u64>,
    /// When its backoff ends.
    pub until: Option<Timestamp>,
    /// The limit that is reached.
    pub limit: Option<Reached>,
}

/// Says why.
pub fn explain(facts: &Facts) -> Explanation {
    let Some(wait) = facts.state.wait() else { return by_status(facts) };
    let (reason, limit) = match wait {
        Wait::After => (Reason::Blocked(Blocked::After), None),
        Wait::Disabled => (Reason::Blocked(Blocked::Disabled), None),
        _ if facts.disabled => (Reason::Blocked(Blocked::Disabled), None),
        Wait::Until(_) => (Reason::Blocked(Blocked::Backoff), None),
        Wait::Limit | Wait::Nothing => waiting(facts, wait),
    };
    let message = message(facts, reason, limit.as_ref());
    let is_ready = facts.state.is_ready() && reason != Reason::Blocked(Blocked::Disabled);
    let position = facts.position.filter(|_| is_ready);
    Explanation { reason, message, position, until: facts.state.not_before(), limit }
}

/// Why a run waits that has to wait for nothing of its own.
fn waiting(facts: &Facts, wait: Wait) -> (Reason, Option<Reached>) {
    let of_key = facts.shared.as_ref().filter(|shared| wait == Wait::Limit || shared.places.are_taken());
    if let Some(Shared { key, places, holders }) = of_key {
        let reached = Reached { key: Some(key.clone()), places: *places, holders: holders.clone() };
        return (Reason::Blocked(Blocked::Limit), Some(reached));
    }
    if facts.team.are_taken() {
        let reached = Reached { key: None, places: facts.team, holders: Vec::new() };
        return (Reason::Blocked(Blocked::Limit), Some(reached));
    }
    let Runners { online, busy, .. } = facts.runners;
    let pool = deciding(&facts.pools).map(|pool| Reason::Pool(pool.standing.state));
    let reason = if facts.no_room.is_some() {
        Reason::NoRoom
    } else if facts.runners.idle() > 0 {
        Reason::Queue
    } else if online > 0 && busy == 0 {
        // Whatever the pools do, a runner is there that somebody holds back; one that comes helps as well.
        pool.filter(|reason| *reason == Reason::Pool(PoolState::Growing)).unwrap_or(Reason::Drained)
    } else if online == 0 {
        pool.unwrap_or(Reason::NoRunner)
    } else {
        pool.unwrap_or(Reason::Busy)
    };
    (reason, None)
}

/// What the runners do that are there.
fn nobody_is_free(runners: Runners) -> String {
    match runners {
        Runners { online: 0, .. } => "no runner is online".to_owned(),
        Runners { busy: 0, online: 1, .. } => "the only online runner is drained".to_owned(),
        Runners { busy: 0, online, .. } => format!("all {online} online runners are drained"),
        Runners { busy: 1, .. } => "the only runner is busy".to_owned(),
        Runners { busy, .. } => format!("all {busy} runners are busy"),
    }
}

fn message(facts: &Facts, reason: Reason, limit: Option<&Reached>) -> String {
    let Facts { app, environment, runners, .. } = facts;
    match reason {
        Reason::Status(status) => status.as_str().to_owned(),
        Reason::Blocked(Blocked::After) => after(&facts.waits_for),
        Reason::Blocked(Blocked::Backoff) => {
            "it failed, and waits until its next attempt: nothing to do, or cancel it".to_owned()
        }
        // Whoever lets its runs go on has not come to this one.
        Reason::Blocked(Blocked::Disabled) if !facts.disabled => {
            format!("the app {app:?} was enabled a moment ago: it enters the queue soon")
        }
        Reason::Blocked(Blocked::Disabled) => {
            format!("the app {app:?} is disabled: enable it, and its runs go on in their order")
        }
        Reason::Blocked(Blocked::Limit) => limit.map(reached).unwrap_or_default(),
        Reason::NoRoom => facts.no_room.clone().unwrap_or_default(),
        Reason::Pool(_) => format!(
            "{} in the environment {environment:?}, and {}",
            nobody_is_free(*runners),
            deciding(&facts.pools).map(Pool::told).unwrap_or_default()
        ),
        Reason::NoRunner => format!(
            "{} in the environment {environment:?}: start one there, or create the run in an environment that has runners",
            nobody_is_free(*runners)
        ),
        Reason::Drained => format!(
            "{} in the environment {environment:?}: undrain one, or start another",
            nobody_is_free(*runners)
        ),
        Reason::Busy => format!(
            "{} in the environment {environment:?}{}: wait until one is done, or start more runners",
            nobody_is_free(*runners),
            place(facts.position),
        ),
        Reason::Queue => {
            format!("a runner of the environment {environment:?} takes it soon{}", place(facts.position))
        }
    }
}

fn place(position: Option<u64>) -> String {
    match position {
        None => String::new(),
        Some(1) => ", and it is the first of your team's runs there".to_owned(),
        Some(2) => ", and 1 run of your team comes before it there".to_owned(),
        Some(n) => format!(", and {} of your team come before it there", Count(n - 1, "run")),
    }
}

fn after(waits_for: &[(After, Option<RunStatus>)]) -> String {
    const SHOWN: usize = 3;
    let one = |(after, status): &(After, Option<RunStatus>)| {
        let until = match after.until {
            Until::Completed => "to complete",
            Until::Ended => "to end",
        };
        format!("run {} {until} (it is {})", after.run, status.map_or("deleted", RunStatus::as_str))
    };
    let shown: Vec<_> = waits_for.iter().take(SHOWN).map(one).collect();
    let more = match waits_for.len().saturating_sub(SHOWN) {
        0 => String::new(),
        n => format!(" and {n} more"),
    };
    if shown.is_empty() {
        return "the runs that it comes after are done: it is about to enter the queue".to_owned();
    }
    format!("it waits for {}{more}: look why that has not happened, or cancel this run", shown.join(", "))
}

fn reached(limit: &Reached) -> String {
    let Reached { key, places: Places { active, max }, holders } = limit;
    let Some(key) = key else {
        return format!(
            "{} of your team are active, as many as its limit active_runs allows ({max}): wait until one ends, or have the limit raised",
            Count(u64::try_from(*active).unwrap_or(0), "run")
        );
    };
    let by: Vec<_> = holders.iter().map(|run| run.0.to_string()).collect();
    let by = if by.is_empty() { String::new() } else { format!(" (run {})", by.join(", ")) };
    if active < max {
        return format!(
            "{active} of at most {max} runs are active under the key {key:?}{by}, and runs that come first take the other places: wait until one ends"
        );
    }
    format!(
        "{active} of at most {max} runs are active under the key {key:?}{by}: wait until one ends, or raise the limit"
    )
}

fn by_status(facts: &Facts) -> Explanation {
    let status = facts.state.status();
    let runner = facts.runner.as_deref().unwrap_or("a runner");
    let why = facts.state.end().and_then(|end| end.error_message.as_deref()).map(|why| format!(": {why}"));
    let why = why.unwrap_or_default();
    let message = match status {
        RunStatus::Queued => "it waits".to_owned(),
        RunStatus::Leased => format!("{runner} has it, and is about to start it"),
        RunStatus::Running => format!("it runs on {runner}"),
        RunStatus::Cancelling => format!("it is being cancelled: {runner} has to stop it first"),
        RunStatus::Completed => "it has completed".to_owned(),
        RunStatus::Failed => format!("it has failed{why}"),
        RunStatus::Cancelled => format!("it was cancelled{why}"),
        RunStatus::Dead => format!("its runners were lost more often than its retries allow{why}"),
    };
    Explanation { reason: Reason::Status(status), message, position: None, until: None, limit: None }
}

/// A number with its noun.
struct Count(u64, &'static str);

impl fmt::Display for Count {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}{}", self.0, self.1, if self.0 == 1 { "" } else { "s" })
    }
}

#[cfg(test)]
#[path = "explain/tests.rs"]
mod tests;
