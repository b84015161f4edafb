//! How much each team has used, as the writer sees it inside its transaction: what a new run, or new bytes, may be refused for.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use minitower_kernel::events::Turn;
use minitower_teams::limits::{Limits, Reached};
use minitower_vocabulary::ids::TeamId;
use minitower_vocabulary::limits::LimitName;
use minitower_vocabulary::statuses::RunStatus;
use minitower_vocabulary::time::Timestamp;

use crate::store::counts::Count;
use crate::store::events::{RunMoved, Stored};
use crate::store::usage::{DAY_MS, TeamUsage, day_of};

/// By team. Commands alone read it, and it mirrors what they do, so that those of one batch see each other's changes.
#[derive(Debug, Default)]
pub(crate) struct Usage(Mutex<HashMap<TeamId, Used>>);

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
struct Used {
    queued: i64,
    day: i64,
    /// Runs created on that day.
    runs: i64,
    bytes: i64,
}

impl Usage {
    /// Takes over what the database knows at start.
    pub(crate) fn load(&self, counts: &[Count], usage: Vec<(TeamId, TeamUsage)>) {
        let mut teams = self.lock();
        for count in counts.iter().filter(|count| count.bucket.status() == RunStatus::Queued) {
            teams.entry(count.key.team_id).or_default().queued += count.n;
        }
        for (team, TeamUsage { day, runs, bytes }) in usage {
            let used = teams.entry(team).or_default();
            (used.day, used.runs, used.bytes) = (day, runs, bytes);
        }
    }

    /// A run was made or moved, or that was taken back.
    pub(crate) fn moved(&self, moved: &RunMoved, turn: Turn) {
        let by = sign(turn);
        let queued = |status: RunStatus| i64::from(status == RunStatus::Queued);
        let before = moved.before.as_ref().map_or(0, |run| queued(run.status()));
        let change = queued(moved.after.status()) - before;
        if change == 0 && moved.before.is_some() {
            return;
        }
        let mut teams = self.lock();
        let used = teams.entry(moved.key.team_id).or_default();
        used.queued += by * change;
        if moved.before.is_none() {
            let day = day_of(moved.created_at);
            if used.day < day {
                (used.day, used.runs) = (day, 0);
            }
            used.runs = (used.runs + by).max(0);
            used.bytes += by * moved.stored;
        }
    }

    /// Bytes were stored or removed, or that was taken back.
    pub(crate) fn stored(&self, stored: &Stored, turn: Turn) {
        self.lock().entry(stored.team).or_default().bytes += sign(turn) * stored.bytes;
    }

    /// Whether a team may create one more run, with so many bytes of input.
    pub(crate) fn admits_run(
        &self,
        (team, limits): (TeamId, &Limits),
        bytes: i64,
        now: Timestamp,
    ) -> Result<(), minitower_teams::Error> {
        let used = self.lock().get(&team).copied().unwrap_or_default();
        limits.take(LimitName::QueuedRuns, count(used.queued))?;
        let today = if used.day < day_of(now) { 0 } else { used.runs };
        limits.take(LimitName::RunsPerDay, count(today)).map_err(|reached| {
            minitower_teams::Error::TooFast { reached, retry_after: until_tomorrow(now) }
        })?;
        Ok(holds(used, limits, bytes)?)
    }

    /// Whether a team may store so many bytes more.
    pub(crate) fn admits_bytes(&self, (team, limits): (TeamId, &Limits), bytes: i64) -> Result<(), Reached> {
        holds(self.lock().get(&team).copied().unwrap_or_default(), limits, bytes)
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<TeamId, Used>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn holds(used: Used, limits: &Limits, bytes: i64) -> Result<(), Reached> {
    let Used { day, runs, bytes: stored, .. } = used;
    // What stores nothing more is never refused for it.
    TeamUsage { day, runs, bytes: stored }.admits(limits, count(bytes))
}

fn count(n: i64) -> u64 {
    u64::try_from(n).unwrap_or(0)
}

const fn sign(turn: Turn) -> i64 {
    match turn {
        Turn::Done => 1,
        Turn::Undone => -1,
    }
}

fn until_tomorrow(now: Timestamp) -> Duration {
    Timestamp((day_of(now) + 1) * DAY_MS).since(now)
}
