//! Apps.

use crate::domain::app::App;
use crate::domain::gates::AppRules;
use crate::domain::retention::Said;
use crate::domain::run::Concurrency;
use minitower_kernel::rusqlite::{Row, params};
use minitower_vocabulary::ids::{AppId, TeamId, VersionId};
use minitower_vocabulary::time::Timestamp;

use crate::store::events::{AppChanged, AppRuled};
use minitower_kernel::{At, at};
use minitower_kernel::{Db, StoreError, Tx};

const COLUMNS: &str = "id, team_id, slug, description, disabled, concurrency_key, concurrency_max, log_bytes, keep_seconds, keep_last, \
     expect_seconds, expect_wait_seconds, created_at, updated_at";

/// A new app; [`StoreError::Taken`] when the team has one of that slug.
pub fn insert(
    tx: &Tx<'_>,
    team: TeamId,
    slug: &str,
    description: Option<&str>,
    now: Timestamp,
) -> Result<App, StoreError> {
    let id = tx.insert(
        "INSERT INTO apps (team_id, slug, description, created_at, updated_at) VALUES (?1, ?2, ?3, ?4, ?4)",
        params![team.0, slug, description, At(now)],
    )?;
    Ok(App {
        id: AppId(id),
        team_id: team,
        slug: slug.to_owned(),
        description: description.map(str::to_owned),
        rules: AppRules::default(),
        retention: Said::default(),
        expect_seconds: None,
        expect_wait_seconds: None,
        created_at: now,
        updated_at: now,
    })
}

/// The team's app of that slug.
pub fn by_slug(db: &Db, team: TeamId, slug: &str) -> Result<Option<App>, StoreError> {
    db.one(
        &format!("SELECT {COLUMNS} FROM apps WHERE team_id = ?1 AND slug = ?2 AND deleted_at IS NULL"),
        params![team.0, slug],
        read,
    )
}

/// A team's apps by slug, from behind `after` if given: at most `limit`.
pub fn list(db: &Db, team: TeamId, after: Option<&str>, limit: i64) -> Result<Vec<App>, StoreError> {
    db.all(
        &format!("SELECT {COLUMNS} FROM apps WHERE team_id = ?1 AND slug > ?2 AND deleted_at IS NULL ORDER BY slug LIMIT ?3"),
        // No slug is empty.
        params![team.0, after.unwrap_or_default(), limit],
        read,
    )
}

/// How many apps a team has, counted up to `most`.
pub fn count(db: &Db, team: TeamId, most: i64) -> Result<i64, StoreError> {
    let counted = db.one(
        "SELECT count(*) AS n FROM (SELECT 1 FROM apps WHERE team_id = ?1 LIMIT ?2)",
        [team.0, most],
        |row| Ok(row.get("n")?),
    )?;
    Ok(counted.unwrap_or(0))
}

/// Replaces the app's description.
pub fn describe(tx: &Tx<'_>, app: AppId, description: &str) -> Result<(), StoreError> {
    tx.execute("UPDATE apps SET description = ?2 WHERE id = ?1", params![app.0, description])?;
    tx.emit(AppChanged { id: app });
    Ok(())
}

/// Saves what an app says from now on.
pub fn save(tx: &Tx<'_>, before: App, after: App) -> Result<App, StoreError> {
    if before == after {
        return Ok(before);
    }
    let App { id, description, rules, retention, expect_seconds, expect_wait_seconds, updated_at, .. } =
        &after;
    // The slug stands for no key: an app is never renamed.
    let shared = rules.concurrency.as_ref();
    let key = shared.map(|shared| shared.key.as_str()).filter(|key| *key != after.slug);
    tx.execute(
        "UPDATE apps SET description = ?2, disabled = ?3, concurrency_key = ?4, concurrency_max = ?5, log_bytes = ?6,
                expect_seconds = ?7, expect_wait_seconds = ?8, updated_at = ?9, keep_seconds = ?10, keep_last = ?11 WHERE id = ?1",
        params![
            id.0,
            description,
            rules.disabled,
            key,
            shared.and_then(|shared| shared.max),
            rules.log_bytes,
            expect_seconds,
            expect_wait_seconds,
            At(*updated_at),
            retention.seconds,
            retention.last
        ],
    )?;
    tx.emit(AppChanged { id: *id });
    if before.rules != *rules {
        tx.emit(AppRuled { app: *id, team: before.team_id, before: before.rules, after: rules.clone() });
    }
    Ok(after)
}

/// All apps that say something about their runs.
pub fn ruled(db: &Db) -> Result<Vec<App>, StoreError> {
    db.all(
        &format!(
            "SELECT {COLUMNS} FROM apps
             WHERE (disabled = 1 OR concurrency_max IS NOT NULL OR log_bytes IS NOT NULL) AND deleted_at IS NULL"
        ),
        (),
        read,
    )
}

/// The team of an app that is disabled; none: it is not, or it is no more.
pub fn team_of_disabled(db: &Db, app: AppId) -> Result<Option<TeamId>, StoreError> {
    db.one("SELECT team_id FROM apps WHERE id = ?1 AND disabled = 1 AND deleted_at IS NULL", [app.0], |row| {
        Ok(TeamId(row.get("team_id")?))
    })
}

/// Takes the app's next run number; none: the app or this version was deleted.
pub(crate) fn next_run_no(tx: &Tx<'_>, app: AppId, version: VersionId) -> Result<Option<i64>, StoreError> {
    // Two statements: RETURNING keeps its rows in a table of its own, made and dropped each time.
    let last: Option<i64> = tx.one(
        "SELECT a.last_run_no FROM apps a JOIN app_versions v ON v.id = ?2
         WHERE a.id = ?1 AND a.deleted_at IS NULL AND v.deleted_at IS NULL",
        [app.0, version.0],
        |row| Ok(row.get(0)?),
    )?;
    let Some(last) = last else { return Ok(None) };
    tx.execute("UPDATE apps SET last_run_no = ?2 WHERE id = ?1", [app.0, last + 1])?;
    Ok(Some(last + 1))
}

/// Takes the app's next version number, and notes that the app changed.
pub(crate) fn next_version_no(tx: &Tx<'_>, app: AppId, now: Timestamp) -> Result<i64, StoreError> {
    tx.one(
        "UPDATE apps SET last_version_no = last_version_no + 1, updated_at = ?2 WHERE id = ?1 RETURNING last_version_no",
        params![app.0, At(now)],
        |row| Ok(row.get(0)?),
    )?
    .inspect(|_: &i64| tx.emit(AppChanged { id: app }))
    .ok_or_else(|| StoreError::Inconsistent(format!("no app {app}")))
}

fn read(row: &Row<'_>) -> Result<App, StoreError> {
    let slug: String = row.get("slug")?;
    let (key, max): (Option<String>, Option<i64>) =
        (row.get("concurrency_key")?, row.get("concurrency_max")?);
    let concurrency = max.map(|max| Concurrency { key: key.unwrap_or_else(|| slug.clone()), max: Some(max) });
    let (disabled, log_bytes) = (row.get("disabled")?, row.get("log_bytes")?);
    Ok(App {
        id: AppId(row.get("id")?),
        team_id: TeamId(row.get("team_id")?),
        slug,
        description: row.get("description")?,
        rules: AppRules { disabled, concurrency, log_bytes },
        retention: Said { seconds: row.get("keep_seconds")?, last: row.get("keep_last")? },
        expect_seconds: row.get("expect_seconds")?,
        expect_wait_seconds: row.get("expect_wait_seconds")?,
        created_at: at(row, "created_at")?,
        updated_at: at(row, "updated_at")?,
    })
}
