//! How many ready runs come before one in the queue of its team: counts by priority and about a second, so that no question looks at the
//! whole queue. Follows the commits.

use std::cmp::Reverse;
use std::collections::{BTreeMap, HashMap};
use std::sync::{Mutex, MutexGuard, PoisonError};

use minitower_vocabulary::ids::TeamId;
use minitower_vocabulary::time::Timestamp;

use crate::domain::run::RunProgress;
use crate::store::events::RunMoved;

/// A slot is so many milliseconds long, as a power of 2: about a second. The runs of one slot are counted one by one.
const SLOT_BITS: u32 = 10;
/// A block has so many slots, as a power of 2: about a quarter of an hour.
const BLOCK_BITS: u32 = 10;

/// Where ready runs are: a priority and a number of a slot or of a block.
type At = (Reverse<i64>, i64);

/// The ready runs of one team in one environment.
#[derive(Debug, Default)]
struct Line {
    slots: BTreeMap<At, u64>,
    blocks: BTreeMap<At, u64>,
}

impl Line {
    fn add(&mut self, priority: i64, slot: i64, more: bool, runs: u64) {
        count(&mut self.slots, (Reverse(priority), slot), more, runs);
        count(&mut self.blocks, (Reverse(priority), slot >> BLOCK_BITS), more, runs);
    }

    /// Runs in slots before this one.
    fn before(&self, priority: i64, slot: i64) -> u64 {
        let (priority, block) = (Reverse(priority), slot >> BLOCK_BITS);
        let blocks: u64 = self.blocks.range(..(priority, block)).map(|(_, n)| n).sum();
        let slots: u64 =
            self.slots.range((priority, block << BLOCK_BITS)..(priority, slot)).map(|(_, n)| n).sum();
        blocks + slots
    }
}

fn count(counts: &mut BTreeMap<At, u64>, at: At, more: bool, runs: u64) {
    let n = counts.entry(at).or_default();
    *n = if more { n.saturating_add(runs) } else { n.saturating_sub(runs) };
    if *n == 0 {
        counts.remove(&at);
    }
}

/// The number of a moment's slot.
const fn slot_of(at: Timestamp) -> i64 {
    at.0 >> SLOT_BITS
}

/// The lines of all teams.
#[derive(Debug, Default)]
pub(crate) struct Positions(Mutex<HashMap<TeamId, HashMap<String, Line>>>);

impl Positions {
    /// Takes over what the database knows at start: so many runs of a team in an environment, with that priority, queued then.
    pub(crate) fn load(
        &self,
        team: TeamId,
        environment: &str,
        (priority, queued_at): (i64, Timestamp),
        runs: u64,
    ) {
        let mut lines = self.lock();
        let line = lines.entry(team).or_default().entry(environment.to_owned()).or_default();
        line.add(priority, slot_of(queued_at), true, runs);
    }

    /// A run was made or moved.
    pub(crate) fn moved(&self, moved: &RunMoved) {
        let ready = |run: &RunProgress| run.state.is_ready().then(|| slot_of(run.queued_at));
        let (before, after) = (moved.before.as_ref().and_then(ready), ready(&moved.after));
        if before == after {
            return;
        }
        let (team, environment) = (moved.key.team_id, moved.names.environment.as_str());
        let mut lines = self.lock();
        let of_team = lines.entry(team).or_default();
        if !of_team.contains_key(environment) {
            of_team.insert(environment.to_owned(), Line::default());
        }
        if let Some(line) = of_team.get_mut(environment) {
            for (slot, more) in [(before, false), (after, true)] {
                if let Some(slot) = slot {
                    line.add(moved.priority, slot, more, 1);
                }
            }
            if line.slots.is_empty() {
                of_team.remove(environment);
            }
        }
        if of_team.is_empty() {
            lines.remove(&team);
        }
    }

    /// How many ready runs come before those of a moment's slot, and when that slot begins.
    pub(crate) fn before(
        &self,
        team: TeamId,
        environment: &str,
        (priority, queued_at): (i64, Timestamp),
    ) -> (u64, Timestamp) {
        let slot = slot_of(queued_at);
        let lines = self.lock();
        let line = lines.get(&team).and_then(|of_team| of_team.get(environment));
        (line.map_or(0, |line| line.before(priority, slot)), Timestamp(slot << SLOT_BITS))
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<TeamId, HashMap<String, Line>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const TEAM: TeamId = TeamId(1);

    proptest! {
        #[test]
        fn what_comes_before_a_slot_is_counted_exactly(
            runs in proptest::collection::vec((-2..3_i64, 0..9_000_000_i64), 1..80),
            gone in 0..80_usize,
            asked in (-2..3_i64, 0..9_000_000_i64),
        ) {
            let positions = Positions::default();
            for (priority, at) in &runs {
                positions.load(TEAM, "here", (*priority, Timestamp(*at)), 1);
            }
            positions.load(TEAM, "there", (9, Timestamp(0)), 5);
            let mut left = runs.clone();
            if gone < left.len() {
                let (priority, at) = left.remove(gone);
                let mut lines = positions.lock();
                lines.get_mut(&TEAM).unwrap().get_mut("here").unwrap().add(priority, slot_of(Timestamp(at)), false, 1);
            }
            let (priority, at) = asked;
            let first = |(p, t): &&(i64, i64)| *p > priority || *p == priority && *t >> SLOT_BITS < at >> SLOT_BITS;
            let expected = left.iter().filter(first).count() as u64;
            let (before, begins) = positions.before(TEAM, "here", (priority, Timestamp(at)));
            prop_assert_eq!(before, expected);
            prop_assert!(begins <= Timestamp(at) && at - begins.0 < 1 << SLOT_BITS);
        }
    }
}
