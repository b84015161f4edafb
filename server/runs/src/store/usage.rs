//! What teams have used: a small table, written once a batch.

use std::collections::BTreeMap;

use minitower_kernel::rusqlite::params;
use minitower_kernel::{Db, StoreError, Tx};
use minitower_teams::limits::{Limits, Reached};
use minitower_vocabulary::ids::TeamId;
use minitower_vocabulary::limits::LimitName;
use minitower_vocabulary::time::Timestamp;

use crate::store::events::{RunMoved, Stored};

/// Milliseconds of a day; the server's time knows no leap seconds.
pub(crate) const DAY_MS: i64 = 24 * 3600 * 1000;

/// The day of a moment, in UTC: days since 1970.
pub(crate) const fn day_of(at: Timestamp) -> i64 {
    at.0.div_euclid(DAY_MS)
}

/// What a team has used.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct TeamUsage {
    /// The newest day on which it created runs.
    pub day: i64,
    /// How many it created on that day.
    pub runs: i64,
    /// Bytes that it has stored.
    pub bytes: i64,
}

impl TeamUsage {
    /// Whether the team may store so many bytes more, as far as it can be told outside of the transaction that stores them.
    pub(crate) fn admits(&self, limits: &Limits, bytes: u64) -> Result<(), Reached> {
        let (name, limit) = (LimitName::StorageBytes, limits.of(LimitName::StorageBytes));
        let all = u64::try_from(self.bytes).unwrap_or(0).saturating_add(bytes);
        if bytes > 0 && all > limit { Err(Reached { name, limit }) } else { Ok(()) }
    }
}

/// What all teams have used.
pub(crate) fn all(db: &Db) -> Result<Vec<(TeamId, TeamUsage)>, StoreError> {
    db.all("SELECT team_id, day, runs, bytes FROM team_usage", (), |row| {
        let usage = TeamUsage { day: row.get("day")?, runs: row.get("runs")?, bytes: row.get("bytes")? };
        Ok((TeamId(row.get("team_id")?), usage))
    })
}

/// What a team has used.
pub(crate) fn of_team(db: &Db, team: TeamId) -> Result<TeamUsage, StoreError> {
    let found = db.one("SELECT day, runs, bytes FROM team_usage WHERE team_id = ?1", [team.0], |row| {
        Ok(TeamUsage { day: row.get("day")?, runs: row.get("runs")?, bytes: row.get("bytes")? })
    })?;
    Ok(found.unwrap_or_default())
}

/// Notes, in the caller's transaction, that a team stores so many bytes more, or fewer.
pub(crate) fn stored(tx: &Tx<'_>, team: TeamId, bytes: i64) {
    if bytes != 0 {
        tx.emit(Stored { team, bytes });
    }
}

/// Adds the runs that a batch created, and the bytes of their inputs.
pub(crate) fn fold_runs(tx: &Tx<'_>, moves: &mut dyn Iterator<Item = &RunMoved>) -> Result<(), StoreError> {
    let mut teams: BTreeMap<TeamId, TeamUsage> = BTreeMap::new();
    for made in moves.filter(|moved| moved.before.is_none()) {
        let usage = teams.entry(made.key.team_id).or_default();
        let day = day_of(made.created_at);
        if usage.day < day {
            (usage.day, usage.runs) = (day, 0);
        }
        usage.runs += 1;
        usage.bytes += made.stored;
    }
    teams.into_iter().try_for_each(|(team, usage)| add(tx, team, usage))
}

/// Adds the bytes that a batch stored or removed.
pub(crate) fn fold_bytes(tx: &Tx<'_>, stored: &mut dyn Iterator<Item = &Stored>) -> Result<(), StoreError> {
    let mut teams: BTreeMap<TeamId, i64> = BTreeMap::new();
    for stored in stored {
        *teams.entry(stored.team).or_default() += stored.bytes;
    }
    let changed = teams.into_iter().filter(|(_, bytes)| *bytes != 0);
    // No day is before the first: it changes nothing of the runs.
    changed.into_iter().try_for_each(|(team, bytes)| add(tx, team, TeamUsage { day: 0, runs: 0, bytes }))
}

fn add(tx: &Tx<'_>, team: TeamId, usage: TeamUsage) -> Result<(), StoreError> {
    tx.execute(
        // Bytes from before they were counted may be removed, too.
        "INSERT INTO team_usage (team_id, day, runs, bytes) VALUES (?1, ?2, ?3, max(?4, 0))
         ON CONFLICT DO UPDATE SET
             runs = CASE WHEN day >= excluded.day THEN runs ELSE 0 END + excluded.runs,
             day = max(day, excluded.day),
             bytes = max(bytes + ?4, 0)",
        params![team.0, usage.day, usage.runs, usage.bytes],
    )?;
    Ok(())
}
