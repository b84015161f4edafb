//! Runs that wait for their app or for a place under their key, in the order of the queue.

use minitower_kernel::rusqlite::params;
use minitower_kernel::{Db, StoreError};
use minitower_vocabulary::ids::{AppId, RunId, TeamId};

use crate::domain::gates::{AppRules, Standing};
use crate::domain::run::Run;
use crate::store::{apps, runs};

/// So many runs of a key count as that in an environment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Held {
    /// Their team.
    pub team: TeamId,
    /// Their key.
    pub key: String,
    /// Where they are.
    pub environment: String,
    /// What they count as.
    pub standing: Standing,
    /// How many.
    pub runs: i64,
}

/// The runs of all keys. Two indexes have all of it.
pub fn held(db: &Db) -> Result<Vec<Held>, StoreError> {
    db.all(
        "SELECT team_id, concurrency_key, environment_name, status, 0 AS held, count(*) AS n FROM runs INDEXED BY runs_at_key
         WHERE concurrency_key IS NOT NULL AND blocked_by IS NULL AND finished_at IS NULL
         GROUP BY team_id, concurrency_key, environment_name, status
         UNION ALL
         SELECT team_id, concurrency_key, environment_name, 'queued', 1, count(*) FROM runs INDEXED BY runs_waiting_for_key
         WHERE blocked_by = 'limit' GROUP BY team_id, concurrency_key, environment_name",
        (),
        |row| {
            let (status, held): (String, bool) = (row.get("status")?, row.get("held")?);
            let standing = match (status.as_str(), held) {
                (_, true) => Standing::Held,
                ("queued", false) => Standing::Ready,
                _ => Standing::Active,
            };
            Ok(Held {
                team: TeamId(row.get("team_id")?),
                key: row.get("concurrency_key")?,
                environment: row.get("environment_name")?,
                standing,
                runs: row.get("n")?,
            })
        },
    )
}

/// The rules of all apps that have some.
pub fn rules(db: &Db) -> Result<Vec<(AppId, AppRules)>, StoreError> {
    let ruled = apps::ruled(db)?;
    Ok(ruled.into_iter().map(|app| (app.id, app.rules)).collect())
}

/// Active runs of a key, of any environment: at most so many.
pub fn holders(db: &Db, team: TeamId, key: &str, limit: i64) -> Result<Vec<RunId>, StoreError> {
    db.all(
        "SELECT id FROM runs INDEXED BY runs_at_key
         WHERE team_id = ?1 AND concurrency_key = ?2 AND concurrency_key IS NOT NULL AND blocked_by IS NULL
             AND finished_at IS NULL AND status <> 'queued' LIMIT ?3",
        params![team.0, key, limit],
        |row| Ok(RunId(row.get("id")?)),
    )
}

/// The first run of a key that waits for a place in an environment.
pub fn first_of_key(db: &Db, team: TeamId, key: &str, environment: &str) -> Result<Option<Run>, StoreError> {
    db.one(
        runs::select!(
            "WHERE r.id = (SELECT id FROM runs INDEXED BY runs_waiting_for_key
                 WHERE team_id = ?1 AND concurrency_key = ?2 AND environment_name = ?3 AND blocked_by = 'limit'
                 ORDER BY priority DESC, queued_at, id LIMIT 1)"
        ),
        params![team.0, key, environment],
        runs::read,
    )
}

/// The first run that waits for its app to be enabled.
pub fn first_of_disabled(db: &Db, app: AppId) -> Result<Option<Run>, StoreError> {
    db.one(
        runs::select!(
            "WHERE r.id = (SELECT id FROM runs INDEXED BY runs_of_disabled_apps
                 WHERE app_id = ?1 AND blocked_by = 'disabled' ORDER BY priority DESC, queued_at, id LIMIT 1)"
        ),
        [app.0],
        runs::read,
    )
}

/// Apps of which runs wait for them to be enabled.
pub fn apps_that_hold(db: &Db) -> Result<Vec<AppId>, StoreError> {
    db.all(
        "SELECT DISTINCT app_id FROM runs INDEXED BY runs_of_disabled_apps WHERE blocked_by = 'disabled'",
        (),
        |row| Ok(AppId(row.get("app_id")?)),
    )
}

/// Queued runs of an app that wait for a runner or for a place, by id from behind one: at most so many. It looks at the queued runs of the
/// whole team.
pub fn queued_of_app(
    db: &Db,
    (team, app): (TeamId, AppId),
    after: RunId,
    limit: i64,
) -> Result<Vec<RunId>, StoreError> {
    db.all(
        "SELECT id FROM runs INDEXED BY runs_by_team_status
         WHERE team_id = ?1 AND status = 'queued' AND id > ?3 AND app_id = ?2 AND (blocked_by IS NULL OR blocked_by = 'limit')
         ORDER BY id LIMIT ?4",
        params![team.0, app.0, after.0, limit],
        |row| Ok(RunId(row.get("id")?)),
    )
}
