//! Whose turn it is: the order of the queue between the teams that share a platform's runners.
//!
//! Within a team the order is that of [`Place`]. Between teams the one with the fewest active runs in the environment comes first, and
//! among several of those the one whose last lease there is longest ago: no team can keep the others from the runners, however many
//! runs it queues and whatever priority it gives them, nor can as many teams as there are runners. Teams that had no lease since the
//! start come before those that had, and among them the order of their first runs decides.
//!
//! A claim that compared the first run of every team would read as many rows as there are teams. [`Turns`] keeps the teams in order
//! instead, and asks for a team's first run only when it is needed and the former one has left the queue.

use std::cmp::Reverse;
use std::collections::{BTreeSet, HashMap, VecDeque};

use crate::domain::run::RunProgress;
use minitower_vocabulary::ids::{RunId, TeamId};
use minitower_vocabulary::time::Timestamp;

/// A run's place among the runs of its team: what comes first compares as less.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Place {
    priority: Reverse<i64>,
    queued_at: Timestamp,
    run: RunId,
}

impl Place {
    /// The place of a run with that priority.
    pub const fn new(priority: i64, queued_at: Timestamp, run: RunId) -> Self {
        Self { priority: Reverse(priority), queued_at, run }
    }

    /// The run's priority.
    pub const fn priority(&self) -> i64 {
        self.priority.0
    }

    /// When it was queued.
    pub const fn queued_at(&self) -> Timestamp {
        self.queued_at
    }

    /// The run.
    pub const fn run(&self) -> RunId {
        self.run
    }
}

/// What a run counts as here.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Standing {
    /// A runner may take it.
    Ready(Place),
    /// A runner holds it.
    Active,
    /// Neither: it is not there yet, has to wait, or has ended.
    Aside,
}

impl Standing {
    /// The standing of a run with that priority and id.
    pub fn of(priority: i64, id: RunId, run: &RunProgress) -> Self {
        if run.state.is_ready() {
            Self::Ready(Place::new(priority, run.queued_at, id))
        } else if run.status().is_active() {
            Self::Active
        } else {
            Self::Aside
        }
    }
}

/// Who comes next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Next {
    /// No team has a ready run that it may have leased.
    Nobody,
    /// This run.
    Run(RunId),
    /// It cannot be said before the first run of this team is [learnt](Turns::learn).
    Ask(TeamId),
}

/// So many teams are remembered for their last lease alone. Of more, those whose last lease is longest ago count as teams that had none.
const IDLE_KEPT: usize = 10_000;
/// So many leases can be taken back: more than one batch of the writer holds.
const LEASES_KEPT: usize = 1_024;

/// The teams of one environment name that have something ready or active, or have had a lease.
#[derive(Debug, Clone, Default)]
pub struct Turns {
    teams: HashMap<TeamId, Team>,
    /// Those with something ready that may have it leased. Of teams that had no lease yet, one whose first run is not known comes before the
    /// others of its number of active runs.
    order: BTreeSet<Rank>,
    /// Those with nothing ready or active that have had a lease, by the number of their last.
    idle: BTreeSet<(u64, TeamId)>,
    /// How many leases there have been.
    leases: u64,
    /// For each of the latest leases: the number of the one that its team had before.
    before: VecDeque<u64>,
}

/// What teams are ordered by: active runs, last lease, first run.
type Rank = (i64, u64, Option<Place>, TeamId);

#[derive(Debug, Clone, Copy, Default)]
struct Team {
    ready: i64,
    active: i64,
    /// The number of its last lease; 0: it had none.
    last: u64,
    /// The first of the ready runs, as long as it is known.
    first: Option<Place>,
    /// It may have no more active runs: others come next.
    held: bool,
}

impl Turns {
    /// Takes over what is known of a team at start.
    pub fn load(&mut self, team: TeamId, ready: i64, active: i64) {
        self.change(team, |entry| {
            entry.ready += ready;
            entry.active += active;
        });
    }

    /// A run of the team was made or moved.
    pub fn moved(&mut self, team: TeamId, before: Standing, after: Standing) {
        let lease = is_lease(before, after).then(|| {
            self.leases += 1;
            self.before.push_back(self.last(team));
            if self.before.len() > LEASES_KEPT {
                self.before.pop_front();
            }
            self.leases
        });
        self.change(team, |entry| {
            entry.moved(before, after);
            entry.last = lease.unwrap_or(entry.last);
        });
    }

    /// The same was taken back. What was first then is no longer known.
    pub fn taken_back(&mut self, team: TeamId, before: Standing, after: Standing) {
        let last = is_lease(before, after).then(|| {
            self.leases = self.leases.saturating_sub(1);
            self.before.pop_back().unwrap_or_default()
        });
        self.change(team, |entry| {
            entry.moved(after, before);
            entry.last = last.unwrap_or(entry.last);
            entry.first = None;
        });
    }

    /// A team may have no more active runs, or may again.
    pub fn hold(&mut self, team: TeamId, held: bool) {
        if self.knows(team) {
            self.change(team, |entry| entry.held = held);
        }
    }

    /// Whether the team has something ready or active.
    pub fn knows(&self, team: TeamId) -> bool {
        self.teams.get(&team).is_some_and(Team::is_known)
    }

    /// The first ready run of a team, or that it has none after all.
    pub fn learn(&mut self, team: TeamId, first: Place) {
        self.change(team, |entry| entry.first = Some(first));
    }

    /// Who comes next.
    pub fn next(&self) -> Next {
        match self.order.first() {
            None => Next::Nobody,
            Some((_, _, Some(place), _)) => Next::Run(place.run),
            Some((_, _, None, team)) => Next::Ask(*team),
        }
    }

    /// Whether no team has something ready or active.
    pub fn is_quiet(&self) -> bool {
        self.teams.len() == self.idle.len()
    }

    /// Whether there is nothing to remember.
    pub fn is_empty(&self) -> bool {
        self.teams.is_empty()
    }

    /// The number of a team's last lease; 0: it had none.
    fn last(&self, team: TeamId) -> u64 {
        self.teams.get(&team).map_or(0, |entry| entry.last)
    }

    fn change(&mut self, team: TeamId, change: impl FnOnce(&mut Team)) {
        let mut entry = self.teams.remove(&team).unwrap_or_default();
        self.order.remove(&entry.rank(team));
        self.idle.remove(&(entry.last, team));
        change(&mut entry);
        if entry.ready == 0 {
            entry.first = None;
        }
        if entry.comes() {
            self.order.insert(entry.rank(team));
        }
        if !entry.is_known() && entry.last > 0 {
            self.idle.insert((entry.last, team));
        }
        if entry.is_known() || entry.last > 0 {
            self.teams.insert(team, entry);
        }
        if self.idle.len() > IDLE_KEPT
            && let Some((_, longest)) = self.idle.pop_first()
        {
            self.teams.remove(&longest);
        }
    }
}

/// Whether a runner has taken a run that moved so.
fn is_lease(before: Standing, after: Standing) -> bool {
    matches!(before, Standing::Ready(_)) && after == Standing::Active
}

impl Team {
    /// Its place among the teams.
    const fn rank(&self, team: TeamId) -> Rank {
        (self.active, self.last, self.first, team)
    }

    /// Whether it has something ready or active.
    const fn is_known(&self) -> bool {
        self.ready > 0 || self.active > 0
    }

    /// Whether it is among those that come next.
    const fn comes(&self) -> bool {
        self.ready > 0 && !self.held
    }

    fn moved(&mut self, before: Standing, after: Standing) {
        match before {
            Standing::Ready(place) => {
                self.ready -= 1;
                if self.first == Some(place) {
                    self.first = None;
                }
            }
            Standing::Active => self.active -= 1,
            Standing::Aside => {}
        }
        match after {
            Standing::Ready(place) => {
                self.ready += 1;
                if self.ready == 1 || self.first.is_some_and(|first| place < first) {
                    self.first = Some(place);
                }
            }
            Standing::Active => self.active += 1,
            Standing::Aside => {}
        }
    }
}

#[cfg(test)]
#[path = "turns/tests.rs"]
mod tests;
