//! How many runs are where, in memory: loaded at start, then moved by the commits. A scrape and a summary read it; neither asks the database.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Mutex, MutexGuard, PoisonError};

use crate::domain::run::Blocked;
use crate::store::counts::{Bucket, Count};
use crate::store::events::{AppGone, AppHidden, CountKey, CountNames, RunGone, RunMoved};
use minitower_teams::{EnvironmentMade, KnownEnvironment};
use minitower_vocabulary::ids::{AppId, EnvironmentId, TeamId};

use crate::Shared;
use crate::lists::Summary;
use crate::series::Series;
use minitower_vocabulary::limits::LimitName;
use minitower_vocabulary::statuses::RunStatus;

#[derive(Debug, Default)]
pub(crate) struct Gauges(Mutex<State>);

#[derive(Debug, Default)]
struct State {
    places: BTreeMap<CountKey, Place>,
    /// Apps that were deleted and are not gone yet.
    hidden: BTreeSet<AppId>,
    /// Team and name of each.
    environments: BTreeMap<EnvironmentId, (TeamId, String)>,
}

#[derive(Debug)]
struct Place {
    names: CountNames,
    n: BTreeMap<Bucket, i64>,
}

impl Place {
    fn count(&self, fits: impl Fn(RunStatus) -> bool) -> i64 {
        self.n.iter().filter(|(bucket, _)| fits(bucket.status())).map(|(_, n)| n).sum()
    }

    /// Runs that a runner may take.
    fn ready(&self) -> i64 {
        self.n.get(&Bucket::Status(RunStatus::Queued)).copied().unwrap_or_default()
    }
}

impl State {
    /// What runners may take of each place, and what they may not because its team would have too many active runs. A team's room goes to its
    /// places in their order; which of its runs come first, the claims decide.
    fn waiting(
        &self,
        most_active: impl Fn(TeamId) -> i64,
    ) -> impl Iterator<Item = (&CountKey, &Place, Waiting)> {
        let mut rooms: BTreeMap<TeamId, i64> = BTreeMap::new();
        for (key, place) in &self.places {
            let room = rooms.entry(key.team_id).or_insert_with(|| most_active(key.team_id));
            *room -= place.count(RunStatus::is_active);
        }
        self.places.iter().map(move |(key, place)| {
            let (ready, room) = (place.ready(), rooms.entry(key.team_id).or_default());
            let pending = ready.min((*room).max(0));
            *room -= pending;
            (key, place, Waiting { pending, held: ready - pending })
        })
    }
}

/// The ready runs of a place.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Waiting {
    /// Those that a runner may take.
    pending: i64,
    /// Those that it may not, because their team would have too many active runs.
    held: i64,
}

impl Gauges {
    pub(crate) fn load(&self, counts: Vec<Count>, environments: Vec<KnownEnvironment>) {
        let mut state = self.lock();
        for known in environments {
            state.environments.insert(known.id, (known.team, known.name));
        }
        for count in counts {
            if count.hidden {
                state.hidden.insert(count.key.app_id);
            }
            // Its foreign key says that the environment is there.
            let environment = state.environments.get(&count.key.environment_id);
            let environment = environment.map(|(_, name)| name.clone()).unwrap_or_default();
            let names = CountNames { app: count.app, environment };
            let place = state.places.entry(count.key).or_insert_with(|| Place { names, n: BTreeMap::new() });
            *place.n.entry(count.bucket).or_default() += count.n;
        }
    }

    pub(crate) fn environment_made(&self, made: &EnvironmentMade) {
        self.lock().environments.insert(made.id, (made.team, made.name.clone()));
    }

    pub(crate) fn moved(&self, moved: &RunMoved) {
        let mut state = self.lock();
        let place = state
            .places
            .entry(moved.key)
            .or_insert_with(|| Place { names: moved.names.clone(), n: BTreeMap::new() });
        if let Some(before) = &moved.before {
            *place.n.entry(Bucket::of(before)).or_default() -= 1;
        }
        *place.n.entry(Bucket::of(&moved.after)).or_default() += 1;
    }

    pub(crate) fn run_gone(&self, gone: &RunGone) {
        if let Some(place) = self.lock().places.get_mut(&gone.key) {
            *place.n.entry(Bucket::of(&gone.run)).or_default() -= 1;
        }
    }

    pub(crate) fn app_hidden(&self, hidden: AppHidden) {
        self.lock().hidden.insert(hidden.id);
    }

    pub(crate) fn app_gone(&self, gone: AppGone) {
        let mut state = self.lock();
        state.places.retain(|key, _| key.app_id != gone.id);
        state.hidden.remove(&gone.id);
    }

    pub(crate) fn summary(&self, team: TeamId) -> Summary {
        let state = self.lock();
        let shown = |key: &CountKey| key.team_id == team && !state.hidden.contains(&key.app_id);
        let places = state.places.iter().filter(|(key, _)| shown(key));
        Summary::of(places.flat_map(|(_, place)| place.n.iter().map(|(bucket, n)| (bucket.status(), *n))))
    }

    /// Runs that a runner may take, and runs that a runner holds, by team and environment; of all teams, or of one. `most_active` says how many
    /// active runs a team may have.
    pub(crate) fn by_environment(
        &self,
        team: Option<TeamId>,
        most_active: impl Fn(TeamId) -> i64,
    ) -> BTreeMap<(TeamId, String), (u64, u64)> {
        let state = self.lock();
        let mut counts = BTreeMap::<_, (u64, u64)>::new();
        for (key, place, waiting) in state.waiting(most_active) {
            if team.is_none_or(|team| team == key.team_id) {
                let of = counts.entry((key.team_id, place.names.environment.clone())).or_default();
                of.0 += u64::try_from(waiting.pending).unwrap_or(0);
                of.1 += u64::try_from(place.count(RunStatus::is_active)).unwrap_or(0);
            }
        }
        counts
    }

    /// Gives those that are there the series of the metrics before others come.
    pub(crate) fn give_series(&self, series: &Series) {
        for key in self.lock().places.keys() {
            series.of_count((key.team_id, key.app_id), ("", ""));
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Shared {
    /// How many active runs a team may have.
    pub(crate) fn most_active(&self, team: TeamId) -> i64 {
        i64::try_from(self.teams.limit(team, LimitName::ActiveRuns)).unwrap_or(i64::MAX)
    }

    /// Brings the gauges up to now.
    pub(crate) fn refresh_gauges(&self) {
        let inner = self;
        let metrics = &inner.memory.metrics;
        metrics.objects_up.set(i64::from(inner.objects.trouble().is_none()));
        metrics.runs_pending.reset();
        metrics.runs_blocked.reset();
        metrics.runs_active.reset();
        metrics.runners_busy.reset();
        metrics.runners_online.reset();

        let mut busy: BTreeMap<String, i64> = BTreeMap::new();
        let online = inner.memory.presence.online(inner.settings.lease_ttl, inner.clock.now());
        {
            let state = inner.memory.gauges.lock();
            let mut counted = BTreeSet::new();
            for (key, place, waiting) in state.waiting(|team| inner.most_active(team)) {
                let CountNames { app, environment } = &place.names;
                let slug = inner.teams.slug(key.team_id);
                let names = (slug.as_deref().unwrap_or_default(), app.as_str());
                let [team, app] = metrics.series.of_place((key.team_id, key.app_id), names);
                let labels = [team, app, environment.as_str()];
                let active = place.count(RunStatus::is_active);
                // Several places may share a series.
                metrics.runs_pending.with_label_values(&labels).add(waiting.pending);
                let blocked = |reason, n| {
                    metrics.runs_blocked.with_label_values(&[team, app, environment, reason]).add(n);
                };
                // Only where runs have waited at all: most apps never have one that does.
                for (bucket, n) in &place.n {
                    if let Bucket::Blocked(reason) = bucket {
                        blocked(reason.as_str(), *n);
                    }
                }
                if waiting.held > 0 {
                    blocked(Blocked::Limit.as_str(), waiting.held);
                }
                metrics.runs_active.with_label_values(&labels).add(active);
                *busy.entry(environment.clone()).or_default() += active;
                counted.insert(key.environment_id);
            }
            // An environment in which nothing ever ran says so: 0, not nothing.
            for (id, (team, name)) in &state.environments {
                if !counted.contains(id) {
                    let slug = inner.teams.slug(*team);
                    let team = metrics.series.of_team(*team, slug.as_deref().unwrap_or_default());
                    let labels = [team, "", name.as_str()];
                    metrics.runs_pending.with_label_values(&labels).set(0);
                }
                busy.entry(name.clone()).or_default();
            }
        }
        for (environment, n) in busy {
            metrics.runners_busy.with_label_values(&[&environment]).set(n);
        }
        for (environment, n) in online {
            metrics.runners_online.with_label_values(&[&environment]).set(n);
        }
    }
}
