//! What was deleted and is not gone yet.

use minitower_kernel::rusqlite::{Row, params};
use minitower_kernel::{At, Db, StoreError, Tx};
use minitower_vocabulary::ids::{AppId, AttemptId, RunId, TeamId, VersionId};
use minitower_vocabulary::statuses::RunStatus;
use minitower_vocabulary::time::Timestamp;

use crate::domain::log;
use crate::domain::run::Run;
use crate::store::events::{AppChanged, AppGone, RunGone};
use crate::store::usage;

/// Log lines that are removed at a time.
const LINES: i64 = 500;

/// Hides an app and frees its slug.
pub fn delete_app(tx: &Tx<'_>, app: AppId, cancels: bool, now: Timestamp) -> Result<(), StoreError> {
    // No slug contains a tilde, so this one stands in nobody's way.
    tx.execute(
        "UPDATE apps SET slug = slug || '~' || id, deleted_at = ?2, deletion_cancels = ?3 WHERE id = ?1",
        params![app.0, At(now), cancels],
    )?;
    tx.emit(AppChanged { id: app });
    Ok(())
}

/// Hides a version.
pub fn delete_version(
    tx: &Tx<'_>,
    (app, version): (AppId, VersionId),
    cancels: bool,
    now: Timestamp,
) -> Result<(), StoreError> {
    tx.execute(
        "UPDATE app_versions SET deleted_at = ?2, deletion_cancels = ?3 WHERE id = ?1",
        params![version.0, At(now), cancels],
    )?;
    tx.emit(AppChanged { id: app });
    Ok(())
}

/// Hides a run.
pub fn delete_run(tx: &Tx<'_>, run: RunId, now: Timestamp) -> Result<(), StoreError> {
    tx.execute("UPDATE runs SET deleted_at = ?2 WHERE id = ?1", params![run.0, At(now)])?;
    Ok(())
}

/// How many of the app's runs had not ended at the last commit.
pub fn unfinished_of_app(db: &Db, (team, app): (TeamId, AppId)) -> Result<i64, StoreError> {
    let n = db.one(
        "SELECT coalesce(sum(n), 0) AS n FROM run_counts WHERE team_id = ?1 AND app_id = ?2
             AND status IN ('queued', 'backoff', 'leased', 'running', 'cancelling')",
        params![team.0, app.0],
        |row| Ok(row.get("n")?),
    )?;
    Ok(n.unwrap_or(0))
}

/// Whether a run of the version has not ended.
pub fn is_any_unfinished_of_version(db: &Db, team: TeamId, version: VersionId) -> Result<bool, StoreError> {
    for status in RunStatus::ALL.into_iter().filter(|status| !status.is_terminal()) {
        let found = db.one(
            "SELECT 1 FROM runs INDEXED BY runs_by_team_status
             WHERE team_id = ?1 AND status = ?2 AND app_version_id = ?3 LIMIT 1",
            params![team.0, status.as_str(), version.0],
            |_| Ok(()),
        )?;
        if found.is_some() {
            return Ok(true);
        }
    }
    Ok(false)
}

/// What was deleted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Deleted {
    /// A run, with its own id.
    Run(RunId),
    /// A version of an app, with all its runs.
    Version(AppId, VersionId),
    /// An app, with all its runs and versions.
    App(AppId),
}

/// Something that was deleted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Deletion {
    /// What.
    pub what: Deleted,
    /// Whether runs that have not ended are cancelled.
    pub cancels: bool,
}

/// All that was deleted and is not gone yet: at most `limit` of each kind.
pub fn pending(db: &Db, limit: i64) -> Result<Vec<Deletion>, StoreError> {
    let mut all = db.all(
        "SELECT id FROM runs INDEXED BY runs_deleted WHERE deleted_at IS NOT NULL ORDER BY id LIMIT ?1",
        [limit],
        |row| Ok(Deletion { what: Deleted::Run(RunId(row.get("id")?)), cancels: true }),
    )?;
    all.extend(db.all(
        "SELECT id, app_id, deletion_cancels FROM app_versions INDEXED BY app_versions_deleted
         WHERE deleted_at IS NOT NULL AND purged_at IS NULL ORDER BY id LIMIT ?1",
        [limit],
        |row| {
            let what = Deleted::Version(AppId(row.get("app_id")?), VersionId(row.get("id")?));
            Ok(Deletion { what, cancels: row.get("deletion_cancels")? })
        },
    )?);
    all.extend(db.all(
        "SELECT id, deletion_cancels FROM apps INDEXED BY apps_deleted WHERE deleted_at IS NOT NULL ORDER BY id LIMIT ?1",
        [limit],
        |row| Ok(Deletion { what: Deleted::App(AppId(row.get("id")?)), cancels: row.get("deletion_cancels")? }),
    )?);
    Ok(all)
}

/// Runs that go with what was deleted, with their numbers, from behind a number: at most `limit`.
pub fn runs_of(db: &Db, what: Deleted, after: i64, limit: i64) -> Result<Vec<(RunId, i64)>, StoreError> {
    let read = |row: &Row<'_>| Ok((RunId(row.get("id")?), row.get("run_no")?));
    match what {
        Deleted::Run(id) => {
            let sql = "SELECT id, run_no FROM runs WHERE id = ?1 AND run_no > ?2 LIMIT ?3";
            db.all(sql, params![id.0, after, limit], read)
        }
        Deleted::Version(app, version) => db.all(
            "SELECT id, run_no FROM runs WHERE app_id = ?1 AND run_no > ?2 AND app_version_id = ?4
             ORDER BY run_no LIMIT ?3",
            params![app.0, after, limit, version.0],
            read,
        ),
        Deleted::App(app) => db.all(
            "SELECT id, run_no FROM runs WHERE app_id = ?1 AND run_no > ?2 ORDER BY run_no LIMIT ?3",
            params![app.0, after, limit],
            read,
        ),
    }
}

/// Removes some log lines of a run that has ended. True: there may be more.
pub fn remove_lines(tx: &Tx<'_>, run: &Run) -> Result<bool, StoreError> {
    let attempts = tx.all("SELECT id FROM run_attempts WHERE run_id = ?1", [run.id.0], |row: &Row<'_>| {
        Ok(AttemptId(row.get("id")?))
    })?;
    for attempt in attempts {
        let lines: Vec<(i64, u64)> = tx.all(
            "SELECT seq, octet_length(line) AS bytes FROM run_logs WHERE run_attempt_id = ?1 ORDER BY seq LIMIT ?2",
            params![attempt.0, LINES],
            |row| Ok((row.get("seq")?, row.get::<_, i64>("bytes")?.unsigned_abs())),
        )?;
        if let Some((last, _)) = lines.last() {
            tx.execute(
                "DELETE FROM run_logs WHERE run_attempt_id = ?1 AND seq <= ?2",
                params![attempt.0, last],
            )?;
            let bytes: u64 = lines.iter().map(|(_, bytes)| log::measured(*bytes)).sum();
            usage::stored(tx, run.team_id, -signed(bytes));
            return Ok(true);
        }
    }
    Ok(false)
}

/// Removes a run that has ended and has no log lines any more. Answers the hashes of what it left behind.
pub fn remove_run(tx: &Tx<'_>, run: &Run) -> Result<Vec<String>, StoreError> {
    let left: Vec<(String, i64)> =
        tx.all("SELECT sha256, bytes FROM run_artifacts WHERE run_id = ?1", [run.id.0], |row| {
            Ok((row.get("sha256")?, row.get("bytes")?))
        })?;
    let texts = [&run.input, &run.output].into_iter().flatten().map(|text| text.len() as u64).sum();
    let bytes = left.iter().map(|(_, bytes)| *bytes).sum::<i64>() + signed(texts);
    tx.execute("DELETE FROM run_attempts WHERE run_id = ?1", [run.id.0])?;
    // With what refers to it and is deleted with it.
    tx.execute("DELETE FROM runs WHERE id = ?1", [run.id.0])?;
    usage::stored(tx, run.team_id, -bytes);
    tx.emit(RunGone::new(run));
    Ok(left.into_iter().map(|(sha256, _)| sha256).collect())
}

fn signed(bytes: u64) -> i64 {
    i64::try_from(bytes).unwrap_or(i64::MAX)
}

/// The team whose app it is, and the archive with its bytes.
fn archive(row: &Row<'_>) -> Result<(TeamId, String, i64), StoreError> {
    Ok((TeamId(row.get("team_id")?), row.get("artifact_sha256")?, row.get("artifact_bytes")?))
}

/// A version whose runs are gone gives up its archive. Answers the hash of that.
pub fn purge_version(tx: &Tx<'_>, version: VersionId, now: Timestamp) -> Result<Option<String>, StoreError> {
    tx.execute(
        "UPDATE app_versions SET purged_at = ?2, towerfile_toml = NULL, params_schema = NULL WHERE id = ?1",
        params![version.0, At(now)],
    )?;
    let archive = tx.one(
        "SELECT a.team_id, v.artifact_sha256, v.artifact_bytes FROM app_versions v JOIN apps a ON a.id = v.app_id WHERE v.id = ?1",
        [version.0],
        archive,
    )?;
    Ok(archive.map(|(team, sha256, bytes)| {
        usage::stored(tx, team, -bytes);
        sha256
    }))
}

/// Removes some versions of an app whose runs are gone. Answers the hashes of their archives; none: there are no more versions.
pub fn remove_versions(tx: &Tx<'_>, app: AppId, limit: i64) -> Result<Vec<String>, StoreError> {
    let versions = tx.all(
        "SELECT v.id, v.purged_at IS NOT NULL AS purged, a.team_id, v.artifact_sha256, v.artifact_bytes
         FROM app_versions v JOIN apps a ON a.id = v.app_id WHERE v.app_id = ?1 ORDER BY v.version_no LIMIT ?2",
        params![app.0, limit],
        |row| Ok((row.get::<_, i64>("id")?, row.get::<_, bool>("purged")?, archive(row)?)),
    )?;
    let mut hashes = Vec::with_capacity(versions.len());
    for (id, purged, (team, sha256, bytes)) in versions {
        tx.execute("DELETE FROM app_versions WHERE id = ?1", [id])?;
        usage::stored(tx, team, if purged { 0 } else { -bytes });
        hashes.push(sha256);
    }
    Ok(hashes)
}

/// Removes an app that has neither runs nor versions any more.
pub fn remove_app(tx: &Tx<'_>, app: AppId) -> Result<(), StoreError> {
    tx.execute(
        "DELETE FROM run_counts WHERE app_id = ?1 AND team_id = (SELECT team_id FROM apps WHERE id = ?1)",
        [app.0],
    )?;
    tx.execute("DELETE FROM apps WHERE id = ?1", [app.0])?;
    tx.emit(AppGone { id: app });
    Ok(())
}
