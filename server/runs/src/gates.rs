//! What keeps runs from the runners, as the writer sees it inside its transaction, and what has to be looked at again when that changes.

use std::collections::BTreeSet;
use std::sync::{Mutex, MutexGuard, PoisonError};

use minitower_kernel::events::Turn;
use minitower_kernel::{StoreError, Tx};
use minitower_vocabulary::ids::{AppId, RunId, TeamId};

use crate::domain::gates::{AppRules, Asking, Gates as Domain, Standing, unsettles};
use crate::domain::run::{Concurrency, Run, RunProgress, RunState, Wait};
use crate::store::events::{AppGone, AppRuled, RunMoved};
use crate::store::gates::Held;
use crate::store::runs;

/// Commands alone read it, and it mirrors what they do, so that those of one batch see each other's changes.
#[derive(Debug, Default)]
pub(crate) struct Gates(Mutex<Domain>);

impl Gates {
    /// Takes over what the database knows at start.
    pub(crate) fn load(&self, rules: Vec<(AppId, AppRules)>, held: &[Held]) {
        let mut gates = self.lock();
        for (app, rules) in rules {
            gates.rule(app, rules);
        }
        for Held { team, key, environment, standing, runs } in held {
            gates.add(*team, key, environment, *standing, *runs);
        }
    }

    /// A run was made or moved, or that was taken back.
    pub(crate) fn moved(&self, moved: &RunMoved, turn: Turn) {
        let Some(Concurrency { key, .. }) = &moved.concurrency else { return };
        let before = moved.before.as_ref().map_or(Standing::Aside, |run| Standing::of(&run.state));
        let after = Standing::of(&moved.after.state);
        if before == after {
            return;
        }
        let (from, to) = match turn {
            Turn::Done => (before, after),
            Turn::Undone => (after, before),
        };
        let (team, environment) = (moved.key.team_id, moved.names.environment.as_str());
        let mut gates = self.lock();
        gates.add(team, key, environment, to, 1);
        gates.add(team, key, environment, from, -1);
    }

    /// An app says something else, or that was taken back.
    pub(crate) fn ruled(&self, ruled: &AppRuled, turn: Turn) {
        let rules = match turn {
            Turn::Done => &ruled.after,
            Turn::Undone => &ruled.before,
        };
        self.lock().rule(ruled.app, rules.clone());
    }

    /// An app is no more.
    pub(crate) fn gone(&self, gone: AppGone) {
        self.lock().rule(gone.id, AppRules::default());
    }

    /// What a new run has to wait for.
    pub(crate) fn enter(&self, run: Asking<'_>) -> Wait {
        self.lock().enter(run)
    }

    /// A run on its way into the queue, with what it has to wait for there.
    pub(crate) fn entering(&self, run: &Run, after: RunProgress) -> RunProgress {
        match after.state {
            // One that is ready already keeps its place.
            RunState::Queued { wait: Wait::Nothing, first_started_at } if !run.progress.state.is_ready() => {
                let wait = self.lock().enter(asking(run));
                after.into_state(RunState::Queued { wait, first_started_at })
            }
            _ => after,
        }
    }

    /// Sends a ready run back to those that wait, if it may not start now. False: it may.
    pub(crate) fn send_back(&self, tx: &Tx<'_>, run: &Run) -> Result<bool, StoreError> {
        let Some(wait) = self.lock().start(asking(run)) else { return Ok(false) };
        keep(tx, run.clone(), wait)?;
        Ok(true)
    }

    /// What the first of those that wait for a place has to wait for now.
    pub(crate) fn next(&self, run: &Run) -> Wait {
        self.lock().next(asking(run))
    }

    /// What an app says.
    pub(crate) fn rules(&self, app: AppId) -> AppRules {
        self.lock().rules(app).cloned().unwrap_or_default()
    }

    /// Most bytes of the log of an app's run, of which its team may keep so many.
    pub(crate) fn log_bytes(&self, app: AppId, of_team: u64) -> u64 {
        let of_app = self.lock().rules(app).and_then(|rules| rules.log_bytes);
        of_app.and_then(|bytes| u64::try_from(bytes).ok()).map_or(of_team, |bytes| bytes.min(of_team))
    }

    /// How many runs of its key may be active at most, and how many are; none: it shares no limit.
    pub(crate) fn limit(&self, run: &Run) -> Option<(i64, i64)> {
        self.lock().limit(asking(run))
    }

    /// Where runs wait for a place under a key.
    pub(crate) fn waiting(&self, team: TeamId, key: &str) -> Vec<String> {
        self.lock().waiting(team, key)
    }

    /// The keys of a team under which runs wait for a place.
    pub(crate) fn waiting_keys(&self, team: TeamId) -> Vec<String> {
        self.lock().waiting_keys(team)
    }

    fn lock(&self) -> MutexGuard<'_, Domain> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Saves what a queued run waits for.
pub(crate) fn keep(tx: &Tx<'_>, run: Run, wait: Wait) -> Result<Run, StoreError> {
    let first_started_at = run.progress.state.first_started_at();
    let after = run.progress.clone().into_state(RunState::Queued { wait, first_started_at });
    runs::save(tx, run, after, None)
}

pub(crate) fn asking(run: &Run) -> Asking<'_> {
    Asking {
        team: run.team_id,
        app: run.app_id,
        environment: &run.environment,
        concurrency: run.concurrency.as_ref(),
        leaves: run.status().is_active(),
    }
}

/// What changed so that runs that wait may have to wait no more, or others have to. Follows the commits.
#[derive(Debug, Default)]
pub(crate) struct Unsettled(Mutex<Work>);

/// What is to be looked at.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub(crate) struct Work {
    /// Keys of which a run has left its place.
    pub(crate) keys: BTreeSet<(TeamId, String)>,
    /// Teams of which all keys are to be looked at.
    pub(crate) teams: BTreeSet<TeamId>,
    /// Apps that were disabled or enabled.
    pub(crate) apps: BTreeSet<AppId>,
    /// Runs that have ended and that others come after.
    pub(crate) ended: BTreeSet<RunId>,
}

impl Work {
    pub(crate) fn is_empty(&self) -> bool {
        self.keys.is_empty() && self.teams.is_empty() && self.apps.is_empty() && self.ended.is_empty()
    }
}

impl Unsettled {
    /// A run was made or moved. True: there is something to look at.
    pub(crate) fn moved(&self, moved: &RunMoved) -> bool {
        let ended = moved.awaited && moved.after.state.end().is_some();
        let before = moved.before.as_ref().map(|run| Standing::of(&run.state));
        let after = Standing::of(&moved.after.state);
        let left = moved.concurrency.as_ref().filter(|_| unsettles(before, after));
        if !ended && left.is_none() {
            return false;
        }
        let mut work = self.lock();
        if ended {
            work.ended.insert(moved.id);
        }
        if let Some(Concurrency { key, .. }) = left {
            work.keys.insert((moved.key.team_id, key.clone()));
        }
        true
    }

    /// An app says something else.
    pub(crate) fn ruled(&self, ruled: &AppRuled) {
        let mut work = self.lock();
        work.apps.insert(ruled.app);
        work.teams.insert(ruled.team);
    }

    /// Something is to be looked at again.
    pub(crate) fn add(&self, more: Work) {
        let mut work = self.lock();
        let Work { keys, teams, apps, ended } = more;
        work.keys.extend(keys);
        work.teams.extend(teams);
        work.apps.extend(apps);
        work.ended.extend(ended);
    }

    /// What is to be looked at now.
    pub(crate) fn take(&self) -> Work {
        std::mem::take(&mut *self.lock())
    }

    fn lock(&self) -> MutexGuard<'_, Work> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
