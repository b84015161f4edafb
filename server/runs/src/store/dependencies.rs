//! Runs that come after others.

use minitower_kernel::rusqlite::{Row, params};
use minitower_kernel::{Db, StoreError, Tx};
use minitower_vocabulary::ids::{RunId, TeamId};
use minitower_vocabulary::statuses::RunStatus;

use crate::domain::after::{After, Until};

/// Keeps what a new run comes after, and whether that is so already. Runs that it waits for are marked as awaited.
pub fn insert(tx: &Tx<'_>, run: RunId, after: &[(After, bool)]) -> Result<(), StoreError> {
    for (After { run: other, until }, met) in after {
        tx.execute(
            "INSERT INTO run_dependencies (run_id, after_run_id, until, met) VALUES (?1, ?2, ?3, ?4)",
            params![run.0, other.0, until.as_str(), met],
        )?;
        if !met {
            tx.execute("UPDATE runs SET awaited = 1 WHERE id = ?1 AND awaited = 0", [other.0])?;
        }
    }
    Ok(())
}

/// What a run comes after and is not so yet, by id, with the status of the other run; no status: it was deleted.
pub fn unmet(db: &Db, run: RunId) -> Result<Vec<(After, Option<RunStatus>)>, StoreError> {
    db.all(
        "SELECT d.after_run_id, d.until, r.status FROM run_dependencies d LEFT JOIN runs r ON r.id = d.after_run_id
         WHERE d.run_id = ?1 AND d.met = 0 ORDER BY d.after_run_id",
        [run.0],
        |row| {
            let status: Option<String> = row.get("status")?;
            let known = |status: String| {
                RunStatus::parse(&status)
                    .ok_or_else(|| StoreError::Inconsistent(format!("a run with status {status:?}")))
            };
            Ok((after(row)?, status.map(known).transpose()?))
        },
    )
}

/// What each of these runs comes after, by id.
pub fn of_run(db: &Db, run: RunId) -> Result<Vec<After>, StoreError> {
    db.all(
        "SELECT after_run_id, until FROM run_dependencies WHERE run_id = ?1 ORDER BY after_run_id",
        [run.0],
        after,
    )
}

/// It is so.
pub fn meet(tx: &Tx<'_>, run: RunId, other: RunId) -> Result<(), StoreError> {
    tx.execute(
        "UPDATE run_dependencies SET met = 1 WHERE run_id = ?1 AND after_run_id = ?2",
        params![run.0, other.0],
    )?;
    Ok(())
}

/// Nothing that the run waited for matters any more.
pub fn settle(tx: &Tx<'_>, run: RunId) -> Result<(), StoreError> {
    tx.execute("UPDATE run_dependencies SET met = 1 WHERE run_id = ?1 AND met = 0", [run.0])?;
    Ok(())
}

/// Runs that wait for another one: at most so many.
pub fn waiting_for(db: &Db, other: RunId, limit: i64) -> Result<Vec<RunId>, StoreError> {
    db.all(
        "SELECT run_id FROM run_dependencies INDEXED BY run_dependencies_unmet
         WHERE after_run_id = ?1 AND met = 0 ORDER BY run_id LIMIT ?2",
        params![other.0, limit],
        |row| Ok(RunId(row.get("run_id")?)),
    )
}

/// Runs that others wait for although they have ended or were deleted, by id from behind one: at most so many.
pub fn ended(db: &Db, from: RunId, limit: i64) -> Result<Vec<RunId>, StoreError> {
    db.all(
        "SELECT DISTINCT d.after_run_id AS id FROM run_dependencies d INDEXED BY run_dependencies_unmet
         LEFT JOIN runs r ON r.id = d.after_run_id
         WHERE d.met = 0 AND d.after_run_id > ?1 AND (r.id IS NULL OR r.finished_at IS NOT NULL)
         ORDER BY d.after_run_id LIMIT ?2",
        params![from.0, limit],
        |row| Ok(RunId(row.get("id")?)),
    )
}

/// The status of a team's run, unless it was deleted.
pub fn status_of(db: &Db, team: TeamId, run: RunId) -> Result<Option<RunStatus>, StoreError> {
    Ok(crate::store::runs::by_id_of_team(db, team, run)?.map(|run| run.status()))
}

fn after(row: &Row<'_>) -> Result<After, StoreError> {
    let until: String = row.get("until")?;
    let until = Until::parse(&until)
        .ok_or_else(|| StoreError::Inconsistent(format!("a run that waits until {until:?}")))?;
    Ok(After { run: RunId(row.get("after_run_id")?), until })
}
