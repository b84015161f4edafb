//! What is old enough to go.

use minitower_kernel::rusqlite::{Row, params};
use minitower_kernel::{At, Db, StoreError};
use minitower_vocabulary::ids::{AppId, RunId, VersionId};
use minitower_vocabulary::time::Timestamp;

/// What is kept of an app, whatever its age: so many of its newest runs, and as many of its versions.
#[derive(Debug, Clone, Copy)]
pub struct Keep {
    /// Only what ended, or was made, before goes.
    pub before: Timestamp,
    /// Keys that are younger keep their run.
    pub keys_since: Timestamp,
    /// How many stay.
    pub last: i64,
}

/// A run that may be old.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Old {
    /// The run.
    pub id: RunId,
    /// Its number.
    pub number: i64,
    /// Whether it goes.
    pub goes: bool,
}

/// Apps that are not deleted, after one.
pub fn apps(db: &Db, after: AppId, most: i64) -> Result<Vec<AppId>, StoreError> {
    db.all(
        "SELECT id FROM apps WHERE id > ?1 AND deleted_at IS NULL ORDER BY id LIMIT ?2",
        params![after.0, most],
        |row| Ok(AppId(row.get("id")?)),
    )
}

/// Whether a run goes: it has ended long ago, no run waits for it, and no key that still counts answers with it.
const GOES: &str = "finished_at < ?2
    AND NOT EXISTS (SELECT 1 FROM run_dependencies d WHERE d.after_run_id = runs.id AND d.met = 0)
    AND NOT EXISTS (SELECT 1 FROM idempotency_keys k WHERE k.run_id = runs.id AND k.created_at > ?3)";

/// Runs of an app that are old enough by their beginning, after a number, but for the newest.
pub fn runs(db: &Db, (app, after): (AppId, i64), keep: Keep, most: i64) -> Result<Vec<Old>, StoreError> {
    let newest_to_go: Option<i64> = db.one(
        "SELECT run_no FROM runs WHERE app_id = ?1 ORDER BY run_no DESC LIMIT 1 OFFSET ?2",
        params![app.0, keep.last],
        |row| Ok(row.get("run_no")?),
    )?;
    let Some(newest_to_go) = newest_to_go else { return Ok(Vec::new()) };
    db.all(
        &format!(
            "SELECT id, run_no, deleted_at IS NULL AND coalesce({GOES}, 0) AS goes FROM runs
             WHERE app_id = ?1 AND run_no > ?4 AND run_no <= ?5 AND queued_at < ?2 ORDER BY run_no LIMIT ?6"
        ),
        params![app.0, At(keep.before), At(keep.keys_since), after, newest_to_go, most],
        |row: &Row<'_>| {
            Ok(Old { id: RunId(row.get("id")?), number: row.get("run_no")?, goes: row.get("goes")? })
        },
    )
}

/// Whether a run still goes.
pub fn still_goes(db: &Db, run: RunId, keep: Keep) -> Result<bool, StoreError> {
    let found = db.one(
        &format!("SELECT 1 FROM runs WHERE id = ?1 AND deleted_at IS NULL AND {GOES}"),
        params![run.0, At(keep.before), At(keep.keys_since)],
        |_| Ok(()),
    )?;
    Ok(found.is_some())
}

/// Versions of an app that no run has, made long ago, but for the newest.
pub fn versions(db: &Db, app: AppId, keep: Keep, most: i64) -> Result<Vec<VersionId>, StoreError> {
    db.all(
        "SELECT v.id FROM app_versions v
         WHERE v.app_id = ?1 AND v.deleted_at IS NULL AND v.created_at < ?2
           AND v.version_no < (SELECT n.version_no FROM app_versions n WHERE n.app_id = ?1 AND n.deleted_at IS NULL
                               ORDER BY n.version_no DESC LIMIT 1 OFFSET max(?3 - 1, 0))
           AND NOT EXISTS (SELECT 1 FROM runs r WHERE r.app_id = ?1 AND r.app_version_id = v.id)
         ORDER BY v.version_no LIMIT ?4",
        params![app.0, At(keep.before), keep.last, most],
        |row| Ok(VersionId(row.get("id")?)),
    )
}
