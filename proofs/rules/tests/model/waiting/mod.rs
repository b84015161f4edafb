//! A second model: runs that wait for their app, for a place under a key, and for other runs. Every interleaving of what people, runners and the
//! server's own look at those that wait do with them, over the rules that the server itself uses.
//!
//! Here is the state and which steps there are, `server` carries out what the `domain` decides, `promises` says what must hold, `systems` are
//! those that are checked. What is looked at in slices is looked at run by run, in any order: the server's order is one of these.
//!
//! What it takes for granted, because the other model or other tests are about it: leases, and the mirrors that count the runs of a key. Here the
//! counts are those of the rows.

mod promises;
mod server;
mod systems;

use std::sync::atomic::{AtomicU32, Ordering};

use minitower_rules::domain::after::Until;
use minitower_rules::domain::run::{RunProgress, Wait};
use minitower_vocabulary::statuses::RunStatus;
use stateright::{Model, Property};

use promises::Promise;

/// With which runs a run shares a limit, and how many of them may be active.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Share {
    /// With none.
    Nothing,
    /// As many as it says itself.
    Own(i64),
    /// As many as its app says.
    App,
}

/// A run that there may be.
#[derive(Debug, Clone, Copy)]
struct Plan {
    environment: &'static str,
    priority: i64,
    share: Share,
    /// Runs that it comes after, by their places in the list.
    after: &'static [(u8, Until)],
}

/// A system's size.
#[derive(Debug, Clone, Copy)]
struct Config {
    name: &'static str,
    /// All of one team and one app; those that share something share one key.
    runs: &'static [Plan],
    /// What the app may say of its limit; the first at the beginning.
    limits: &'static [i64],
    /// Whether the app may be disabled.
    disables: bool,
    /// How often a run may be lost, or fail and wait for its retry.
    retries: i64,
    /// Whether people cancel runs.
    cancels: bool,
}

const PLAIN: Plan = Plan { environment: "here", priority: 0, share: Share::Nothing, after: &[] };

/// A run's row.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct Row {
    progress: RunProgress,
    /// Which of the runs that it comes after have come to what it waits for; a bit for each.
    met: u8,
}

/// What the server is to look at again: in its memory.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash)]
struct Work {
    key: bool,
    team: bool,
    app: Option<Walk>,
    /// Runs that have ended and that others wait for; a bit for each.
    ended: u8,
}

/// How far it has come with the runs of the app.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash)]
struct Walk {
    /// Runs before this place were looked at.
    seen: u8,
    /// The run that was found, and is to be looked at in a transaction.
    found: Option<u8>,
}

/// All of it.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct State {
    /// None: not created yet.
    runs: Vec<Option<Row>>,
    disabled: bool,
    limit: i64,
    work: Work,
    /// The promise that the last step broke.
    broken: Option<Promise>,
}

/// A step.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Action {
    Create(u8),
    Cancel(u8),
    Disable(bool),
    Limit(i64),
    /// A runner of the environment polls.
    Poll(&'static str),
    /// A job ends so.
    End(u8, RunStatus),
    /// A runner gives its run back.
    Release(u8),
    /// A runner is lost.
    Lose(u8),
    /// A job fails, and its run waits for its retry.
    BackOff(u8),
    /// A backoff ends.
    Wake(u8),
    /// The server looks at the first runs that wait for a place under the key.
    LookAtKey,
    /// It looks for the keys of the team.
    LookAtTeam,
    /// It looks for the next run of the app.
    FindOfApp,
    /// It looks at that run, or lets one of an app that was enabled go on.
    LookAtApp,
    /// It looks at one run that comes after this one.
    LookBehind(u8),
    /// The server stops and starts again.
    Restart,
}

/// What has to be met, or the systems are too narrow to prove anything. A bit for each.
#[derive(Debug, Clone, Copy)]
enum Event {
    Held,
    Filled,
    SentBack,
    Shut,
    LetGo,
    Freed,
    GivenUp,
    GivenUpAtOnce,
}

/// The systems' runs, and the server that looks at those that wait.
#[derive(Debug)]
struct Waiting {
    config: Config,
    met: AtomicU32,
}

/// A state that is being changed.
struct Step<'m> {
    model: &'m Waiting,
    state: State,
}

impl Waiting {
    fn new(config: Config) -> Self {
        Self { config, met: AtomicU32::new(0) }
    }

    fn meet(&self, event: Event) {
        self.met.fetch_or(1 << event as u32, Ordering::Relaxed);
    }

    fn has_met(&self, event: Event) -> bool {
        self.met.load(Ordering::Relaxed) & 1 << event as u32 != 0
    }
}

impl Model for Waiting {
    type State = State;
    type Action = Action;

    fn init_states(&self) -> Vec<State> {
        let Config { runs, limits, .. } = self.config;
        let limit = limits.first().copied().unwrap_or(1);
        vec![State {
            runs: vec![None; runs.len()],
            disabled: false,
            limit,
            work: Work::default(),
            broken: None,
        }]
    }

    fn actions(&self, state: &State, actions: &mut Vec<Action>) {
        let Config { runs, limits, disables, cancels, .. } = self.config;
        if state.broken.is_some() {
            return;
        }
        for (id, row) in (0..).zip(&state.runs) {
            let Some(Row { progress, .. }) = row else {
                actions.push(Action::Create(id));
                continue;
            };
            match progress.status() {
                RunStatus::Queued => {
                    if let Some(Wait::Until(_)) = progress.state.wait() {
                        actions.push(Action::Wake(id));
                    }
                }
                status if status.is_active() => {
                    let ends = [RunStatus::Completed, RunStatus::Failed];
                    actions.extend(ends.map(|status| Action::End(id, status)));
                    actions.push(Action::Release(id));
                    if progress.retries.used < progress.retries.max {
                        actions.extend([Action::Lose(id), Action::BackOff(id)]);
                    }
                }
                _ => continue,
            }
            if cancels {
                actions.push(Action::Cancel(id));
            }
        }
        let mut environments: Vec<_> = runs.iter().map(|plan| plan.environment).collect();
        environments.sort_unstable();
        environments.dedup();
        actions.extend(environments.into_iter().map(Action::Poll));
        if disables {
            actions.push(Action::Disable(!state.disabled));
        }
        actions
            .extend(limits.iter().filter(|limit| **limit != state.limit).map(|limit| Action::Limit(*limit)));
        actions.push(Action::Restart);
        state.work.looks(actions);
    }

    fn next_state(&self, last: &State, action: Action) -> Option<State> {
        let mut step = Step { model: self, state: last.clone() };
        step.act(action)?;
        step.rank();
        Some(step.state)
    }

    fn properties(&self) -> Vec<Property<Self>> {
        promises::properties()
    }
}

impl Work {
    fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    /// What the server may look at next.
    fn looks(&self, actions: &mut Vec<Action>) {
        if self.key {
            actions.push(Action::LookAtKey);
        }
        if self.team {
            actions.push(Action::LookAtTeam);
        }
        match &self.app {
            Some(Walk { found: None, .. }) => actions.push(Action::FindOfApp),
            Some(Walk { found: Some(_), .. }) => actions.push(Action::LookAtApp),
            None => {}
        }
        actions.extend((0..8).filter(|run| self.ended & 1 << run != 0).map(Action::LookBehind));
    }
}
