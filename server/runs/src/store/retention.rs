//! What is old enough to go, and who says what that is.

use std::collections::HashSet;

use minitower_kernel::rusqlite::{Row, params};
use minitower_kernel::{At, Db, StoreError, Tx};
use minitower_vocabulary::ids::{AppId, RunId, TeamId, VersionId};
use minitower_vocabulary::time::Timestamp;

use crate::domain::retention::Said;

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
    /// Whether it is old by its beginning.
    pub old: bool,
    /// Whether it goes.
    pub goes: bool,
}

/// An app, and what is said about how long it is kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Ruled {
    /// The app.
    pub app: AppId,
    /// What its team says.
    pub team: Said,
    /// What it says itself.
    pub own: Said,
}

const RULED: &str =
    "SELECT a.id, a.keep_seconds, a.keep_last, t.keep_seconds AS team_seconds, t.keep_last AS team_last
    FROM apps a LEFT JOIN team_retention t ON t.team_id = a.team_id WHERE a.deleted_at IS NULL";

fn read_ruled(row: &Row<'_>) -> Result<Ruled, StoreError> {
    Ok(Ruled {
        app: AppId(row.get("id")?),
        team: Said { seconds: row.get("team_seconds")?, last: row.get("team_last")? },
        own: Said { seconds: row.get("keep_seconds")?, last: row.get("keep_last")? },
    })
}

/// Apps that are not deleted, after one.
pub fn apps(db: &Db, after: AppId, most: i64) -> Result<Vec<Ruled>, StoreError> {
    db.all(&format!("{RULED} AND a.id > ?1 ORDER BY a.id LIMIT ?2"), params![after.0, most], read_ruled)
}

/// One of them; none: it was deleted.
pub fn app(db: &Db, app: AppId) -> Result<Option<Ruled>, StoreError> {
    db.one(&format!("{RULED} AND a.id = ?1"), [app.0], read_ruled)
}

/// What a team says.
pub fn of_team(db: &Db, team: TeamId) -> Result<Said, StoreError> {
    let said =
        db.one("SELECT keep_seconds, keep_last FROM team_retention WHERE team_id = ?1", [team.0], |row| {
            Ok(Said { seconds: row.get("keep_seconds")?, last: row.get("keep_last")? })
        })?;
    Ok(said.unwrap_or_default())
}

/// Stores what a team says.
pub fn put(tx: &Tx<'_>, team: TeamId, said: Said) -> Result<(), StoreError> {
    if said == Said::default() {
        tx.execute("DELETE FROM team_retention WHERE team_id = ?1", [team.0])?;
    } else {
        tx.execute(
            "INSERT INTO team_retention (team_id, keep_seconds, keep_last) VALUES (?1, ?2, ?3)
             ON CONFLICT DO UPDATE SET keep_seconds = excluded.keep_seconds, keep_last = excluded.keep_last",
            params![team.0, said.seconds, said.last],
        )?;
    }
    Ok(())
}

/// Whether a run goes: it has ended long ago, no run waits for it, and no key that still counts answers with it.
const GOES: &str = "finished_at < ?2
    AND NOT EXISTS (SELECT 1 FROM run_dependencies d WHERE d.after_run_id = runs.id AND d.met = 0)
    AND NOT EXISTS (SELECT 1 FROM idempotency_keys k WHERE k.run_id = runs.id AND k.created_at > ?3)";

/// Runs of an app after a number, but for the newest.
pub fn runs(db: &Db, (app, after): (AppId, i64), keep: Keep, most: i64) -> Result<Vec<Old>, StoreError> {
    let newest_to_go: Option<i64> = db.one(
        "SELECT run_no FROM runs WHERE app_id = ?1 ORDER BY run_no DESC LIMIT 1 OFFSET ?2",
        params![app.0, keep.last],
        |row| Ok(row.get("run_no")?),
    )?;
    let Some(newest_to_go) = newest_to_go else { return Ok(Vec::new()) };
    db.all(
        &format!(
            "SELECT id, run_no, queued_at < ?2 AS old, deleted_at IS NULL AND coalesce({GOES}, 0) AS goes FROM runs
             WHERE app_id = ?1 AND run_no > ?4 AND run_no <= ?5 ORDER BY run_no LIMIT ?6"
        ),
        params![app.0, At(keep.before), At(keep.keys_since), after, newest_to_go, most],
        |row: &Row<'_>| {
            Ok(Old {
                id: RunId(row.get("id")?),
                number: row.get("run_no")?,
                old: row.get("old")?,
                goes: row.get("goes")?,
            })
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

/// Versions of an app that were made long ago, but for the newest. Runs may have them.
pub fn versions(db: &Db, app: AppId, keep: Keep, most: i64) -> Result<Vec<VersionId>, StoreError> {
    db.all(
        "SELECT v.id FROM app_versions v
         WHERE v.app_id = ?1 AND v.deleted_at IS NULL AND v.created_at < ?2
           AND v.version_no < (SELECT n.version_no FROM app_versions n WHERE n.app_id = ?1 AND n.deleted_at IS NULL
                               ORDER BY n.version_no DESC LIMIT 1 OFFSET max(?3 - 1, 0))
         ORDER BY v.version_no LIMIT ?4",
        params![app.0, At(keep.before), keep.last, most],
        |row| Ok(VersionId(row.get("id")?)),
    )
}

/// The versions of the next runs of an app after a number, and the number of the last one of them; none: there are no more.
pub fn versions_of_runs(
    db: &Db,
    app: AppId,
    after: i64,
    most: i64,
) -> Result<(HashSet<VersionId>, Option<i64>), StoreError> {
    let runs: Vec<(i64, VersionId)> = db.all(
        "SELECT run_no, app_version_id FROM runs WHERE app_id = ?1 AND run_no > ?2 ORDER BY run_no LIMIT ?3",
        params![app.0, after, most],
        |row| Ok((row.get("run_no")?, VersionId(row.get("app_version_id")?))),
    )?;
    let last = runs.last().map(|(number, _)| *number);
    Ok((runs.into_iter().map(|(_, version)| version).collect(), last))
}
