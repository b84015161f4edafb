//! What was deleted and is not gone yet.

use minitower_kernel::rusqlite::{Row, params};
use minitower_kernel::{At, Db, StoreError, Tx};
use minitower_vocabulary::ids::{AppId, AttemptId, RunId, TeamId, VersionId};
use minitower_vocabulary::statuses::RunStatus;
use minitower_vocabulary::time::Timestamp;

use crate::domain::run::Run;
use crate::domain::{attempt, log};
use crate::store::events::{AppChanged, AppGone, AppHidden, RunGone, RunsHidden};
use crate::store::{segments, usage};

/// Log lines that are removed at a time.
const LINES: i64 = 500;

/// Hides an app and frees its slug.
pub fn delete_app(tx: &Tx<'_>, app: AppId, now: Timestamp) -> Result<(), StoreError> {
    // No slug contains a tilde, so this one stands in nobody's way.
    tx.execute(
        "UPDATE apps SET slug = slug || '~' || id, deleted_at = ?2 WHERE id = ?1",
        params![app.0, At(now)],
    )?;
    tx.emit(AppChanged { id: app });
    tx.emit(AppHidden { id: app });
    Ok(())
}

/// Hides a version.
pub fn delete_version(
    tx: &Tx<'_>,
    (app, version): (AppId, VersionId),
    now: Timestamp,
) -> Result<(), StoreError> {
    tx.execute("UPDATE app_versions SET deleted_at = ?2 WHERE id = ?1", params![version.0, At(now)])?;
    tx.emit(AppChanged { id: app });
    tx.emit(RunsHidden);
    Ok(())
}

/// Hides a run.
pub fn delete_run(tx: &Tx<'_>, run: RunId, now: Timestamp) -> Result<(), StoreError> {
    tx.execute("UPDATE runs SET deleted_at = ?2 WHERE id = ?1", params![run.0, At(now)])?;
    tx.emit(RunsHidden);
    Ok(())
}

/// Whether a run of the app had not ended at the last commit. Not for commands: it does not see what their batch did.
pub fn is_any_unfinished_of_app(db: &Db, (team, app): (TeamId, AppId)) -> Result<bool, StoreError> {
    let found = db.one(
        "SELECT 1 FROM run_counts WHERE team_id = ?1 AND app_id = ?2 AND n > 0
             AND status IN ('queued', 'backoff', 'leased', 'running', 'cancelling') LIMIT 1",
        params![team.0, app.0],
        |_| Ok(()),
    )?;
    Ok(found.is_some())
}

/// Whether a run of the app, or of one of its versions, has not ended that was made after the one of that number.
pub fn is_any_unfinished_after(
    db: &Db,
    app: AppId,
    version: Option<VersionId>,
    run_no: i64,
) -> Result<bool, StoreError> {
    let found = db.one(
        "SELECT 1 FROM runs WHERE app_id = ?1 AND run_no > ?2 AND finished_at IS NULL
             AND (?3 IS NULL OR app_version_id = ?3) LIMIT 1",
        params![app.0, run_no, version.map(|version| version.0)],
        |_| Ok(()),
    )?;
    Ok(found.is_some())
}

/// The number of the app's newest run; 0: it never had one.
pub fn newest_run_no(db: &Db, app: AppId) -> Result<i64, StoreError> {
    let last =
        db.one("SELECT last_run_no FROM apps WHERE id = ?1", [app.0], |row| Ok(row.get("last_run_no")?))?;
    Ok(last.unwrap_or(0))
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
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Deleted {
    /// A run, with its own id.
    Run(RunId),
    /// A version of an app, with all its runs.
    Version(AppId, VersionId),
    /// An app, with all its runs and versions.
    App(AppId),
}

/// All that was deleted and is not gone yet, with the team whose it was: at most `limit`, from behind the one that was listed last.
pub fn pending(db: &Db, after: Option<Deleted>, limit: i64) -> Result<Vec<(TeamId, Deleted)>, StoreError> {
    let (run, version, app) = match after {
        None => (0, 0, 0),
        Some(Deleted::Run(id)) => (id.0, 0, 0),
        Some(Deleted::Version(_, id)) => (i64::MAX, id.0, 0),
        Some(Deleted::App(id)) => (i64::MAX, i64::MAX, id.0),
    };
    let team = |row: &Row<'_>| -> Result<TeamId, StoreError> { Ok(TeamId(row.get("team_id")?)) };
    let mut all = db.all(
        "SELECT id, team_id FROM runs INDEXED BY runs_deleted
         WHERE deleted_at IS NOT NULL AND id > ?1 ORDER BY id LIMIT ?2",
        [run, limit],
        |row| Ok((team(row)?, Deleted::Run(RunId(row.get("id")?)))),
    )?;
    let left = |all: &Vec<_>| limit.saturating_sub(i64::try_from(all.len()).unwrap_or(limit));
    all.extend(db.all(
        "SELECT v.id, v.app_id, a.team_id FROM app_versions v INDEXED BY app_versions_deleted JOIN apps a ON a.id = v.app_id
         WHERE v.deleted_at IS NOT NULL AND v.purged_at IS NULL AND v.id > ?1 ORDER BY v.id LIMIT ?2",
        [version, left(&all)],
        |row| Ok((team(row)?, Deleted::Version(AppId(row.get("app_id")?), VersionId(row.get("id")?)))),
    )?);
    all.extend(db.all(
        "SELECT id, team_id FROM apps INDEXED BY apps_deleted
         WHERE deleted_at IS NOT NULL AND id > ?1 ORDER BY id LIMIT ?2",
        [app, left(&all)],
        |row| Ok((team(row)?, Deleted::App(AppId(row.get("id")?)))),
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
        // What lies in a frame counts there.
        segments::remove_covered(tx, attempt)?;
        if let Some(counted) = segments::remove(tx, attempt, LINES)? {
            usage::stored(tx, run.team_id, -counted);
            return Ok(true);
        }
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
    let attempts = tx.one(
        "SELECT count(*) * ?2 + coalesce(sum(octet_length(error_message)), 0) AS bytes FROM run_attempts WHERE run_id = ?1",
        params![run.id.0, attempt::ROW_BYTES],
        |row| Ok(row.get::<_, i64>("bytes")?),
    )?;
    let output = run.output.as_ref().map_or(0, |output| signed(output.len() as u64));
    let files = left.iter().map(|(_, bytes)| *bytes).sum::<i64>();
    let bytes = files + run.counted() + output + attempts.unwrap_or(0);
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

/// The bytes of a version: of its archive, and as in `NewVersion::counted`.
macro_rules! bytes_of_version {
    () => {
        "v.artifact_bytes + coalesce(octet_length(v.params_schema), 0) + coalesce(octet_length(v.towerfile_toml), 0)
         + coalesce(octet_length(v.import_paths), 0) + coalesce(octet_length(v.hidden_parameters), 0)
         + coalesce(octet_length(v.secrets), 0) AS bytes"
    };
}

/// The team whose app it is, its archive, and the bytes of the version.
fn archive(row: &Row<'_>) -> Result<(TeamId, String, i64), StoreError> {
    Ok((TeamId(row.get("team_id")?), row.get("artifact_sha256")?, row.get("bytes")?))
}

/// A version whose runs are gone gives up its archive. Answers the hash of that.
pub fn purge_version(tx: &Tx<'_>, version: VersionId, now: Timestamp) -> Result<Option<String>, StoreError> {
    let archive = tx.one(
        concat!(
            "SELECT a.team_id, v.artifact_sha256, ",
            bytes_of_version!(),
            " FROM app_versions v JOIN apps a ON a.id = v.app_id WHERE v.id = ?1"
        ),
        [version.0],
        archive,
    )?;
    tx.execute(
        "UPDATE app_versions SET purged_at = ?2, towerfile_toml = NULL, params_schema = NULL, import_paths = NULL,
                hidden_parameters = NULL, secrets = NULL WHERE id = ?1",
        params![version.0, At(now)],
    )?;
    Ok(archive.map(|(team, sha256, bytes)| {
        usage::stored(tx, team, -bytes);
        sha256
    }))
}

/// Removes some versions of an app whose runs are gone. Answers the hashes of their archives; none: there are no more versions.
pub fn remove_versions(tx: &Tx<'_>, app: AppId, limit: i64) -> Result<Vec<String>, StoreError> {
    let versions = tx.all(
        concat!(
            "SELECT v.id, v.purged_at IS NOT NULL AS purged, a.team_id, v.artifact_sha256, ",
            bytes_of_version!(),
            " FROM app_versions v JOIN apps a ON a.id = v.app_id WHERE v.app_id = ?1 ORDER BY v.version_no LIMIT ?2"
        ),
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
