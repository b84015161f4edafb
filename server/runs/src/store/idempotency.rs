//! Keys that make creating a run repeatable.

use minitower_kernel::rusqlite::params;
use minitower_kernel::{At, Db, StoreError, Tx};
use minitower_vocabulary::ids::{RunId, TeamId};
use minitower_vocabulary::time::Timestamp;

/// What was asked for with a key, and the run that came of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Used {
    /// A hash of the request.
    pub request_hash: [u8; 32],
    /// The run.
    pub run: RunId,
}

/// What a team used a key for after `since`.
pub fn find(db: &Db, team: TeamId, key: &str, since: Timestamp) -> Result<Option<Used>, StoreError> {
    db.one(
        "SELECT request_hash, run_id FROM idempotency_keys WHERE team_id = ?1 AND key = ?2 AND created_at > ?3",
        params![team.0, key, At(since)],
        |row| Ok(Used { request_hash: row.get("request_hash")?, run: RunId(row.get("run_id")?) }),
    )
}

/// Notes what a key was used for, in place of what it was used for long ago.
pub fn insert(tx: &Tx<'_>, team: TeamId, key: &str, used: Used, now: Timestamp) -> Result<(), StoreError> {
    tx.execute(
        "INSERT OR REPLACE INTO idempotency_keys (team_id, key, request_hash, run_id, created_at)
         VALUES (?1, ?2, ?3, ?4, ?5)",
        params![team.0, key, used.request_hash.as_slice(), used.run.0, At(now)],
    )?;
    Ok(())
}

/// Whether any key is as old as that.
pub fn any_until(db: &Db, until: Timestamp) -> Result<bool, StoreError> {
    let found =
        db.one("SELECT 1 FROM idempotency_keys WHERE created_at <= ?1 LIMIT 1", [At(until)], |_| Ok(()))?;
    Ok(found.is_some())
}

/// Forgets keys that are as old as that, at most `limit`, and answers how many.
pub fn prune(tx: &Tx<'_>, until: Timestamp, limit: i64) -> Result<usize, StoreError> {
    tx.execute(
        "DELETE FROM idempotency_keys WHERE (team_id, key) IN
             (SELECT team_id, key FROM idempotency_keys WHERE created_at <= ?1 ORDER BY created_at LIMIT ?2)",
        params![At(until), limit],
    )
}
