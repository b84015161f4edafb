//! What keeps a run from the runners although it could start: its app is disabled, or as many runs of its concurrency key are active as may be.
//!
//! The runs of a team that have the same key share its places. Each run says how many of them there are at most, or leaves it to its app. That
//! number is compared with the active runs of the key whenever the run is next: a run that allows fewer waits longer, and those behind it in
//! its environment wait with it. In each environment as many runs are ready as there are free places, because nobody knows where a runner will
//! ask first; a poll that meets one for which no place is left sends it back to those that wait.

use std::collections::{BTreeMap, HashMap};

use minitower_vocabulary::ids::{AppId, TeamId};

use crate::domain::run::{Concurrency, RunState, Wait};

/// What an app says about its runs.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Default)]
pub struct AppRules {
    /// Its runs wait.
    pub disabled: bool,
    /// How many of its runs may be active, and what they share.
    pub concurrency: Option<Concurrency>,
    /// Most bytes of the log of a run; none: as many as its team's limits allow.
    pub log_bytes: Option<i64>,
}

/// Whose run it is that asks.
#[derive(Debug, Clone, Copy)]
pub struct Asking<'a> {
    /// Its team.
    pub team: TeamId,
    /// Its app.
    pub app: AppId,
    /// Where it runs.
    pub environment: &'a str,
    /// What it shares.
    pub concurrency: Option<&'a Concurrency>,
    /// It has a place, which it gives up.
    pub leaves: bool,
}

/// What a run counts as here.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Standing {
    /// A runner may take it.
    Ready,
    /// A runner holds it.
    Active,
    /// It waits for a place.
    Held,
    /// It waits for something else, or has ended.
    Aside,
}

impl Standing {
    /// The standing of a run in that state.
    pub const fn of(state: &RunState) -> Self {
        match state {
            RunState::Queued { wait: Wait::Nothing, .. } => Self::Ready,
            RunState::Queued { wait: Wait::Limit, .. } => Self::Held,
            RunState::Leased { .. } | RunState::Running { .. } | RunState::Cancelling { .. } => Self::Active,
            RunState::Queued { wait: Wait::After | Wait::Until(_) | Wait::Disabled, .. }
            | RunState::Completed(_)
            | RunState::Failed(_)
            | RunState::Cancelled { .. }
            | RunState::Dead(_) => Self::Aside,
        }
    }
}

/// Whether those that wait under a key are to be looked at again when one of its runs moves so. A run that is no longer active leaves a place in
/// every environment, also where it is not ready again; one that was ready leaves one where it was. And one that waits may be the first.
pub fn unsettles(before: Option<Standing>, after: Standing) -> bool {
    match (before, after) {
        (_, Standing::Held) => true,
        (Some(Standing::Active), after) => after != Standing::Active,
        (Some(Standing::Ready), after) => after == Standing::Aside,
        (Some(Standing::Held | Standing::Aside) | None, _) => false,
    }
}

/// The rules of all apps that have some, and the runs of all keys that are in use.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Gates {
    apps: HashMap<AppId, AppRules>,
    keys: HashMap<TeamId, BTreeMap<String, Key>>,
}

/// The runs of one key.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
struct Key {
    active: i64,
    places: BTreeMap<String, Queued>,
}

/// Those of them that are queued in one environment.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
struct Queued {
    ready: i64,
    held: i64,
}

impl Gates {
    /// An app says something else from now on.
    pub fn rule(&mut self, app: AppId, rules: AppRules) {
        if rules == AppRules::default() {
            self.apps.remove(&app);
        } else {
            self.apps.insert(app, rules);
        }
    }

    /// What an app says; none: nothing special.
    pub fn rules(&self, app: AppId) -> Option<&AppRules> {
        self.apps.get(&app)
    }

    /// So many more runs of a key count as that in an environment.
    pub fn add(&mut self, team: TeamId, key: &str, environment: &str, standing: Standing, runs: i64) {
        if runs == 0 || standing == Standing::Aside {
            return;
        }
        let keys = self.keys.entry(team).or_default();
        let entry = match keys.get_mut(key) {
            Some(entry) => entry,
            None => keys.entry(key.to_owned()).or_default(),
        };
        match standing {
            Standing::Active => entry.active += runs,
            Standing::Ready | Standing::Held => {
                let place = entry.places.entry(environment.to_owned()).or_default();
                if standing == Standing::Ready {
                    place.ready += runs;
                } else {
                    place.held += runs;
                }
                if *place == Queued::default() {
                    entry.places.remove(environment);
                }
            }
            Standing::Aside => {}
        }
        if *entry == Key::default() {
            keys.remove(key);
        }
        if keys.is_empty() {
            self.keys.remove(&team);
        }
    }

    /// What a run has to wait for that has nothing else to wait for: those of its key that wait already come first.
    pub fn enter(&self, run: Asking<'_>) -> Wait {
        if self.is_disabled(run.app) {
            return Wait::Disabled;
        }
        let Some((most, active, here)) = self.of(run) else { return Wait::Nothing };
        if here.held > 0 || active + here.ready >= most { Wait::Limit } else { Wait::Nothing }
    }

    /// What keeps a run that is ready from starting now; none: it may.
    pub fn start(&self, run: Asking<'_>) -> Option<Wait> {
        if self.is_disabled(run.app) {
            return Some(Wait::Disabled);
        }
        let (most, active, _) = self.of(run)?;
        (active >= most).then_some(Wait::Limit)
    }

    /// What the first of those that wait for a place has to wait for now.
    pub fn next(&self, run: Asking<'_>) -> Wait {
        if self.is_disabled(run.app) {
            return Wait::Disabled;
        }
        let Some((most, active, here)) = self.of(run) else { return Wait::Nothing };
        if active + here.ready >= most { Wait::Limit } else { Wait::Nothing }
    }

    /// How many runs of its key may be active at most, and how many are; none: it shares no limit.
    pub fn limit(&self, run: Asking<'_>) -> Option<(i64, i64)> {
        self.of(run).map(|(most, active, _)| (most, active))
    }

    /// Where runs wait for a place under a key.
    pub fn waiting(&self, team: TeamId, key: &str) -> Vec<String> {
        let places = self.keys.get(&team).and_then(|keys| keys.get(key)).map(|entry| &entry.places);
        let held = places.into_iter().flatten().filter(|(_, queued)| queued.held > 0);
        held.map(|(environment, _)| environment.clone()).collect()
    }

    /// The keys of a team under which runs wait for a place, from behind one: at most so many.
    pub fn waiting_keys(&self, team: TeamId) -> Vec<String> {
        let keys = self.keys.get(&team).into_iter().flatten();
        let waits = |entry: &Key| entry.places.values().any(|queued| queued.held > 0);
        keys.filter(|(_, entry)| waits(entry)).map(|(key, _)| key.clone()).collect()
    }

    fn is_disabled(&self, app: AppId) -> bool {
        self.apps.get(&app).is_some_and(|rules| rules.disabled)
    }

    /// How many runs of its key may be active, how many are, and those that are queued where it is.
    fn of(&self, run: Asking<'_>) -> Option<(i64, i64, Queued)> {
        let Concurrency { key, max } = run.concurrency?;
        let of_app = || self.apps.get(&run.app)?.concurrency.as_ref()?.max;
        let most = max.or_else(of_app).unwrap_or(i64::MAX);
        let entry = self.keys.get(&run.team).and_then(|keys| keys.get(key));
        let here = entry.and_then(|entry| entry.places.get(run.environment)).copied().unwrap_or_default();
        let active = entry.map_or(0, |entry| entry.active) - i64::from(run.leaves);
        Some((most, active, here))
    }
}

#[cfg(test)]
#[path = "gates/tests.rs"]
mod tests;
