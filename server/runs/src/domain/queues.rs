//! The queues of all environments: whose turn it is in each, and which teams may have no more active runs in any.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use minitower_vocabulary::ids::TeamId;

use crate::domain::active::ActiveRuns;
use crate::domain::turns::{Next, Place, Standing, Turns};

/// So many environments are remembered for the last leases of their teams alone: more than one batch of the writer can leave with nothing
/// ready or active. Nobody waits there, so nobody's turn is lost with the others.
const QUIET_KEPT: usize = 1_024;

/// The turns in all environments, by name. A team that has as many active runs as it may have is in none of them.
#[derive(Debug, Clone, Default)]
pub struct Queues {
    active: ActiveRuns,
    environments: HashMap<String, Turns>,
    /// Those with nothing ready or active, in the order in which they came to that.
    quiet: BTreeMap<u64, String>,
    /// The number of each in that order.
    numbers: HashMap<String, u64>,
    last_number: u64,
    /// Where each team has something ready or active.
    places: HashMap<TeamId, BTreeSet<String>>,
}

impl Queues {
    /// Empty queues; a team may have so many active runs.
    pub fn new(most_active: i64) -> Self {
        Self { active: ActiveRuns::new(most_active), ..Self::default() }
    }

    /// Takes over what is known of a team at start.
    pub fn load(&mut self, environment: &str, team: TeamId, ready: i64, active: i64) {
        self.change(environment, team, active, |turns| turns.load(team, ready, active));
    }

    /// A run of the team was made or moved.
    pub fn moved(&mut self, environment: &str, team: TeamId, before: Standing, after: Standing) {
        let active = i64::from(after == Standing::Active) - i64::from(before == Standing::Active);
        self.change(environment, team, active, |turns| turns.moved(team, before, after));
    }

    /// The same was taken back.
    pub fn taken_back(&mut self, environment: &str, team: TeamId, before: Standing, after: Standing) {
        let active = i64::from(before == Standing::Active) - i64::from(after == Standing::Active);
        self.change(environment, team, active, |turns| turns.taken_back(team, before, after));
    }

    /// So many active runs that a team may have.
    pub fn limit(&mut self, team: TeamId, most_active: i64) {
        if let Some(has_room) = self.active.limit(team, most_active) {
            self.hold(team, !has_room);
        }
    }

    /// Whether a team may have one more active run.
    pub fn has_room(&self, team: TeamId) -> bool {
        self.active.room(team) > 0
    }

    /// Who comes next in an environment.
    pub fn next(&self, environment: &str) -> Next {
        self.environments.get(environment).map_or(Next::Nobody, Turns::next)
    }

    /// The first ready run of a team in an environment.
    pub fn learn(&mut self, environment: &str, team: TeamId, first: Place) {
        if let Some(turns) = self.environments.get_mut(environment) {
            turns.learn(team, first);
        }
    }

    fn change(&mut self, environment: &str, team: TeamId, active: i64, change: impl FnOnce(&mut Turns)) {
        if !self.environments.contains_key(environment) {
            self.environments.insert(environment.to_owned(), Turns::default());
        }
        let Some(turns) = self.environments.get_mut(environment) else { return };
        let knew = turns.knows(team);
        change(turns);
        match (knew, turns.knows(team)) {
            (false, true) => {
                turns.hold(team, self.active.room(team) == 0);
                self.places.entry(team).or_default().insert(environment.to_owned());
            }
            (true, false) => self.forget_place(environment, team),
            _ => {}
        }
        self.note_quiet(environment);
        if active != 0
            && let Some(has_room) = self.active.add(team, active)
        {
            self.hold(team, !has_room);
        }
    }

    /// An environment has something ready or active, or no longer has.
    fn note_quiet(&mut self, environment: &str) {
        let Some(turns) = self.environments.get(environment) else { return };
        let (is_quiet, is_empty) = (turns.is_quiet(), turns.is_empty());
        if let Some(number) = self.numbers.remove(environment) {
            self.quiet.remove(&number);
        }
        if is_empty {
            self.environments.remove(environment);
        } else if is_quiet {
            self.last_number += 1;
            self.quiet.insert(self.last_number, environment.to_owned());
            self.numbers.insert(environment.to_owned(), self.last_number);
        }
        if self.quiet.len() > QUIET_KEPT
            && let Some((_, longest)) = self.quiet.pop_first()
        {
            self.numbers.remove(&longest);
            self.environments.remove(&longest);
        }
    }

    fn forget_place(&mut self, environment: &str, team: TeamId) {
        if let Some(places) = self.places.get_mut(&team) {
            places.remove(environment);
            if places.is_empty() {
                self.places.remove(&team);
            }
        }
    }

    fn hold(&mut self, team: TeamId, held: bool) {
        for place in self.places.get(&team).into_iter().flatten() {
            if let Some(turns) = self.environments.get_mut(place) {
                turns.hold(team, held);
            }
        }
    }
}

#[cfg(test)]
#[path = "queues/tests.rs"]
mod tests;
