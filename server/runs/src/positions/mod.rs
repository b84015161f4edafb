//! How many ready runs come before one in the queue of its team: counts by priority and about a second, so that no question looks at the
//! whole queue. They follow what the commands do.
//!
//! A start does not wait for them. The queue of a team in an environment is counted once somebody asks for a place in it, from its front
//! on ([`counting`]). As long as that takes, what is behind the part that is counted is counted in the table, each time.

mod counting;

use std::cmp::Reverse;
use std::collections::{BTreeMap, HashMap};
use std::sync::{Mutex, MutexGuard, PoisonError};

use minitower_kernel::events::Turn;
use minitower_vocabulary::ids::TeamId;
use minitower_vocabulary::time::Timestamp;

use crate::domain::run::RunProgress;
use crate::domain::turns::Place;
use crate::store::events::RunMoved;

/// A slot is so many milliseconds long, as a power of 2: about a second. The runs of one slot are counted one by one.
const SLOT_BITS: u32 = 10;
/// A block has so many slots, as a power of 2: about a quarter of an hour.
const BLOCK_BITS: u32 = 10;

/// Where ready runs are: a priority and a number of a slot or of a block.
type At = (Reverse<i64>, i64);

/// How much of a line is counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Counted {
    /// What is not behind this place; none: nothing.
    To(Option<Place>),
    /// All of it.
    All,
}

/// The ready runs of one team in one environment, as far as they are counted.
#[derive(Debug)]
struct Line {
    slots: BTreeMap<At, u64>,
    blocks: BTreeMap<At, u64>,
    runs: u64,
    counted: Counted,
}

/// Where a count goes on in the table.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Rest {
    /// At the first run that was queued at this moment, of the same priority.
    From(Timestamp),
    /// Behind this place; none: at the first run.
    Behind(Option<Place>),
}

impl Line {
    const fn new() -> Self {
        Self { slots: BTreeMap::new(), blocks: BTreeMap::new(), runs: 0, counted: Counted::To(None) }
    }

    fn covers(&self, place: Place) -> bool {
        match self.counted {
            Counted::All => true,
            Counted::To(last) => last.is_some_and(|last| place <= last),
        }
    }

    fn add(&mut self, place: Place, more: bool) {
        let (priority, slot) = (Reverse(place.priority()), slot_of(place.queued_at()));
        count(&mut self.slots, (priority, slot), more);
        count(&mut self.blocks, (priority, slot >> BLOCK_BITS), more);
        self.runs = if more { self.runs.saturating_add(1) } else { self.runs.saturating_sub(1) };
    }

    /// Runs in slots before that of a place.
    fn before_slot(&self, place: Place) -> u64 {
        let (priority, slot) = (Reverse(place.priority()), slot_of(place.queued_at()));
        let block = slot >> BLOCK_BITS;
        let blocks: u64 = self.blocks.range(..(priority, block)).map(|(_, n)| n).sum();
        let slots: u64 =
            self.slots.range((priority, block << BLOCK_BITS)..(priority, slot)).map(|(_, n)| n).sum();
        blocks + slots
    }

    fn before(&self, place: Place) -> (u64, Rest) {
        match self.counted {
            Counted::To(last) if !self.covers(place) => (self.runs, Rest::Behind(last)),
            Counted::To(_) | Counted::All => {
                let slot = Timestamp(slot_of(place.queued_at()) << SLOT_BITS);
                (self.before_slot(place), Rest::From(slot))
            }
        }
    }
}

fn count(counts: &mut BTreeMap<At, u64>, at: At, more: bool) {
    let n = counts.entry(at).or_default();
    *n = if more { n.saturating_add(1) } else { n.saturating_sub(1) };
    if *n == 0 {
        counts.remove(&at);
    }
}

/// The number of a moment's slot.
const fn slot_of(at: Timestamp) -> i64 {
    at.0 >> SLOT_BITS
}

/// The lines that somebody asked about. It mirrors what commands do, so that each run is counted once, by the one who counts or by its move.
/// Whoever else reads it may see what is not committed yet: a place that is off by the runs of one batch for an instant.
#[derive(Debug, Default)]
pub(crate) struct Positions(Mutex<HashMap<TeamId, HashMap<String, Line>>>);

impl Positions {
    /// A run was made or moved, or that was taken back.
    pub(crate) fn moved(&self, moved: &RunMoved, turn: Turn) {
        let ready = |run: &RunProgress| {
            run.state.is_ready().then(|| Place::new(moved.priority, run.queued_at, moved.id))
        };
        let (before, after) = (moved.before.as_ref().and_then(ready), ready(&moved.after));
        if before == after {
            return;
        }
        let (before, after) = match turn {
            Turn::Done => (before, after),
            Turn::Undone => (after, before),
        };
        let mut lines = self.lock();
        let line =
            lines.get_mut(&moved.key.team_id).and_then(|of_team| of_team.get_mut(&moved.names.environment));
        let Some(line) = line else { return };
        for (place, more) in [(before, false), (after, true)] {
            if let Some(place) = place
                && line.covers(place)
            {
                line.add(place, more);
            }
        }
    }

    /// How many ready runs come before a place as far as they are counted here, and where the count goes on.
    pub(crate) fn before(&self, team: TeamId, environment: &str, place: Place) -> (u64, Rest) {
        let lines = self.lock();
        let line = lines.get(&team).and_then(|of_team| of_team.get(environment));
        line.map_or((0, Rest::Behind(None)), |line| line.before(place))
    }

    /// Begins to count a line. False: somebody has, or it is counted.
    fn begin(&self, team: TeamId, environment: &str) -> bool {
        let mut lines = self.lock();
        let of_team = lines.entry(team).or_default();
        let is_new = !of_team.contains_key(environment);
        if is_new {
            of_team.insert(environment.to_owned(), Line::new());
        }
        is_new
    }

    /// How much of a line is counted. None: nobody counts it.
    fn counted(&self, team: TeamId, environment: &str) -> Option<Counted> {
        Some(self.lock().get(&team)?.get(environment)?.counted)
    }

    /// Counts the next runs of a line, in their order; `all`: there are no more. Commands alone may: nothing moves meanwhile.
    fn count(&self, team: TeamId, environment: &str, next: &[Place], all: bool) {
        let mut lines = self.lock();
        let Some(line) = lines.get_mut(&team).and_then(|of_team| of_team.get_mut(environment)) else {
            return;
        };
        for place in next {
            line.add(*place, true);
        }
        if all {
            line.counted = Counted::All;
        } else if let Some(last) = next.last() {
            line.counted = Counted::To(Some(*last));
        }
    }

    /// Forgets a line that could not be counted.
    fn forget(&self, team: TeamId, environment: &str) {
        let mut lines = self.lock();
        if let Some(of_team) = lines.get_mut(&team) {
            of_team.remove(environment);
        }
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<TeamId, HashMap<String, Line>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests;
