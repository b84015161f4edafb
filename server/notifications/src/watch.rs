//! Which runs will be late or have waited too long, and when: in memory, for the teams that want to be told.

use std::collections::{BTreeSet, HashMap, HashSet};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use minitower_vocabulary::ids::{AppId, RunId, TeamId};
use minitower_vocabulary::time::Timestamp;
use minitower_vocabulary::wire::notifications::Occasion;

use crate::domain::expectation::{Expected, Standing};

/// Moments that are remembered. Teams whose runs do not fit are looked at again when there is room.
const MOST: usize = 200_000;

/// A moment at which something has to be looked at.
pub(crate) type Moment = (Timestamp, RunId, Occasion);

/// What is watched.
#[derive(Debug, Default)]
pub(crate) struct Watch {
    /// How many teams want to be told: the others' runs pass without a lock.
    teams: AtomicUsize,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    /// The apps that expect anything, by team.
    apps: HashMap<TeamId, HashMap<AppId, Expected>>,
    ordered: BTreeSet<Moment>,
    of_runs: HashMap<RunId, Vec<(Timestamp, Occasion)>>,
    /// Apps that may expect something else than what is known.
    changed: HashSet<AppId>,
    /// Teams whose apps and runs are to be looked at.
    to_scan: BTreeSet<TeamId>,
    /// Teams with runs that did not fit.
    left_out: BTreeSet<TeamId>,
}

impl State {
    fn forget(&mut self, run: RunId) {
        for (at, occasion) in self.of_runs.remove(&run).unwrap_or_default() {
            self.ordered.remove(&(at, run, occasion));
        }
    }

    fn stands(&mut self, team: TeamId, app: AppId, run: RunId, standing: Standing) -> bool {
        self.forget(run);
        let Some(expected) = self.apps.get(&team).and_then(|apps| apps.get(&app)).copied() else {
            return false;
        };
        let moments =
            [(expected.late_at(standing), Occasion::Late), (expected.waited_at(standing), Occasion::Waiting)];
        let moments: Vec<_> =
            moments.into_iter().filter_map(|(at, occasion)| Some((at?, occasion))).collect();
        if moments.is_empty() {
            return false;
        }
        if self.ordered.len() + moments.len() > MOST {
            self.left_out.insert(team);
            return false;
        }
        self.ordered.extend(moments.iter().map(|(at, occasion)| (*at, run, *occasion)));
        self.of_runs.insert(run, moments);
        true
    }
}

impl Watch {
    /// Whether a team wants to be told; true: there is something to look at.
    pub(crate) fn wanted(&self, team: TeamId, wanted: bool) -> bool {
        let mut state = self.lock();
        let known = state.apps.contains_key(&team);
        if wanted {
            state.apps.entry(team).or_default();
            state.to_scan.insert(team);
        } else if known {
            state.apps.remove(&team);
            state.to_scan.remove(&team);
        }
        self.teams.store(state.apps.len(), Ordering::Release);
        wanted
    }

    /// Where a run stands now; true: it is watched.
    pub(crate) fn stands(&self, team: TeamId, app: AppId, run: RunId, standing: Standing) -> bool {
        self.is_any() && self.lock().stands(team, app, run, standing)
    }

    /// An app may expect something else from now on; true: that has to be looked at.
    pub(crate) fn app_changed(&self, app: AppId) -> bool {
        self.is_any() && self.lock().changed.insert(app)
    }

    /// The apps that have changed since this was last asked.
    pub(crate) fn take_changed(&self) -> HashSet<AppId> {
        std::mem::take(&mut self.lock().changed)
    }

    /// What an app expects; the team is looked at if that is new.
    pub(crate) fn expects(&self, team: TeamId, app: AppId, expected: Expected) {
        let mut state = self.lock();
        let Some(apps) = state.apps.get(&team) else { return };
        if apps.get(&app).copied().unwrap_or_default() != expected {
            state.to_scan.insert(team);
        }
    }

    /// The next team to look at.
    pub(crate) fn take_team(&self) -> Option<TeamId> {
        let mut state = self.lock();
        if state.to_scan.is_empty() && state.ordered.len() < MOST / 2 {
            let left_out = std::mem::take(&mut state.left_out);
            state.to_scan.extend(left_out);
        }
        state.to_scan.pop_first()
    }

    /// What the apps of a team expect. From here on its runs are watched as they move.
    pub(crate) fn set_apps(&self, team: TeamId, apps: HashMap<AppId, Expected>) {
        if let Some(known) = self.lock().apps.get_mut(&team) {
            *known = apps;
        }
    }

    /// What is to be looked at by now: at most `most`.
    pub(crate) fn take_due(&self, now: Timestamp, most: usize) -> Vec<Moment> {
        let mut state = self.lock();
        let due: Vec<_> =
            state.ordered.iter().take_while(|(at, ..)| *at <= now).take(most).copied().collect();
        for moment in &due {
            state.ordered.remove(moment);
            let (at, run, occasion) = *moment;
            if let Some(of_run) = state.of_runs.get_mut(&run) {
                of_run.retain(|one| *one != (at, occasion));
                if of_run.is_empty() {
                    state.of_runs.remove(&run);
                }
            }
        }
        due
    }

    /// What was taken could not be looked at.
    pub(crate) fn put_back(&self, moments: Vec<Moment>) {
        let mut state = self.lock();
        for (at, run, occasion) in moments {
            state.ordered.insert((at, run, occasion));
            state.of_runs.entry(run).or_default().push((at, occasion));
        }
    }

    /// When there is something to look at; none: when somebody says so.
    pub(crate) fn next(&self, now: Timestamp) -> Option<Timestamp> {
        let state = self.lock();
        if !state.to_scan.is_empty() || !state.changed.is_empty() {
            return Some(now);
        }
        state.ordered.first().map(|(at, ..)| *at)
    }

    fn is_any(&self) -> bool {
        self.teams.load(Ordering::Acquire) > 0
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use minitower_vocabulary::statuses::RunStatus;

    use super::*;

    const TEAM: TeamId = TeamId(1);
    const APP: AppId = AppId(2);
    const RUN: RunId = RunId(3);

    fn standing(status: RunStatus, started_at: Option<Timestamp>) -> Standing {
        Standing { status, queued_at: Timestamp(0), started_at }
    }

    fn watch() -> Watch {
        let watch = Watch::default();
        watch.wanted(TEAM, true);
        assert_eq!(watch.take_team(), Some(TEAM));
        watch.set_apps(TEAM, HashMap::from([(APP, Expected::of_seconds(Some(10), Some(5)))]));
        watch
    }

    #[test]
    fn a_run_is_watched_as_it_stands() {
        let watch = watch();
        assert!(watch.stands(TEAM, APP, RUN, standing(RunStatus::Queued, None)));
        assert_eq!(watch.next(Timestamp(0)), Some(Timestamp(5000)));
        assert!(watch.stands(TEAM, APP, RUN, standing(RunStatus::Running, Some(Timestamp(2000)))));
        assert_eq!(watch.take_due(Timestamp(11_999), 9), [], "it does not wait any more");
        assert_eq!(watch.take_due(Timestamp(12_000), 9), [(Timestamp(12_000), RUN, Occasion::Late)]);
        watch.stands(TEAM, APP, RUN, standing(RunStatus::Running, Some(Timestamp(2000))));
        watch.stands(TEAM, APP, RUN, standing(RunStatus::Failed, Some(Timestamp(2000))));
        assert_eq!((watch.next(Timestamp(0)), watch.lock().of_runs.len()), (None, 0));
    }

    #[test]
    fn teams_that_want_nothing_and_apps_that_expect_nothing_cost_nothing() {
        let nobody = Watch::default();
        assert!(
            !nobody.stands(TEAM, APP, RUN, standing(RunStatus::Queued, None)) && !nobody.app_changed(APP)
        );
        let watch = watch();
        assert!(!watch.stands(TEAM, AppId(9), RUN, standing(RunStatus::Queued, None)));
        watch.wanted(TEAM, false);
        assert!(!watch.stands(TEAM, APP, RUN, standing(RunStatus::Queued, None)));
    }

    #[test]
    fn another_expectation_makes_the_team_be_looked_at() {
        let watch = watch();
        watch.expects(TEAM, APP, Expected::of_seconds(Some(10), Some(5)));
        assert_eq!(watch.take_team(), None);
        watch.expects(TEAM, APP, Expected::of_seconds(Some(11), Some(5)));
        assert_eq!(watch.take_team(), Some(TEAM));
    }
}
