//! Whose turn it is: the order of the queue between the teams that share a platform's runners.
//!
//! Within a team the order is that of [`Place`]. Between teams the one with the fewest active runs in the environment comes first, and
//! among several of those the one whose first run is ahead in that order: no team can keep the others from the runners, however many
//! runs it queues and whatever priority it gives them.
//!
//! A claim that compared the first run of every team would read as many rows as there are teams. [`Turns`] keeps the teams in order
//! instead, and asks for a team's first run only after the former one has left the queue.

use std::cmp::Reverse;
use std::collections::{BTreeSet, HashMap};

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

/// The teams of one environment name that have something ready or active.
#[derive(Debug, Clone, Default)]
pub struct Turns {
    teams: HashMap<TeamId, Team>,
    /// Those with something ready that may have it leased. A team whose first run is not known comes before the others of its number of active runs.
    order: BTreeSet<(i64, Option<Place>, TeamId)>,
}

#[derive(Debug, Clone, Copy, Default)]
struct Team {
    ready: i64,
    active: i64,
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
        self.change(team, |entry| entry.moved(before, after));
    }

    /// The same was taken back. What was first then is no longer known.
    pub fn taken_back(&mut self, team: TeamId, before: Standing, after: Standing) {
        self.change(team, |entry| {
            entry.moved(after, before);
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
        self.teams.contains_key(&team)
    }

    /// The first ready run of a team, or that it has none after all.
    pub fn learn(&mut self, team: TeamId, first: Place) {
        self.change(team, |entry| entry.first = Some(first));
    }

    /// Who comes next.
    pub fn next(&self) -> Next {
        match self.order.first() {
            None => Next::Nobody,
            Some((_, Some(place), _)) => Next::Run(place.run),
            Some((_, None, team)) => Next::Ask(*team),
        }
    }

    /// Whether the order between teams needs the first run of this one.
    pub fn needs(&self, team: TeamId) -> bool {
        self.order.len() > 1
            && self.teams.get(&team).is_some_and(|entry| entry.comes() && entry.first.is_none())
    }

    /// Whether there is nothing to remember.
    pub fn is_empty(&self) -> bool {
        self.teams.is_empty()
    }

    fn change(&mut self, team: TeamId, change: impl FnOnce(&mut Team)) {
        let mut entry = self.teams.get(&team).copied().unwrap_or_default();
        if entry.comes() {
            self.order.remove(&(entry.active, entry.first, team));
        }
        change(&mut entry);
        if entry.ready == 0 {
            entry.first = None;
        }
        if entry.comes() {
            self.order.insert((entry.active, entry.first, team));
        }
        if entry.ready == 0 && entry.active == 0 {
            self.teams.remove(&team);
        } else {
            self.teams.insert(team, entry);
        }
    }
}

impl Team {
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
