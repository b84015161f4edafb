//! What other subjects ask of apps and runs.

use minitower_kernel::rusqlite::params;
use minitower_kernel::{Db, StoreError, at, maybe_at};
use minitower_vocabulary::ids::{AppId, RunId, TeamId};
use minitower_vocabulary::statuses::RunStatus;
use minitower_vocabulary::time::Timestamp;

/// What an app says about how long its runs take and wait.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Expectation {
    /// Whose it is.
    pub team: TeamId,
    /// The app.
    pub app: AppId,
    /// How many seconds a run takes at most.
    pub seconds: Option<i64>,
    /// How many seconds it is queued at most.
    pub wait_seconds: Option<i64>,
}

/// A run that has not ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Unfinished {
    /// The run.
    pub id: RunId,
    /// Its app.
    pub app: AppId,
    /// Since when it is queued, or was when it was leased.
    pub queued_at: Timestamp,
    /// When it was first started.
    pub started_at: Option<Timestamp>,
}

/// What an app says; none: there is no such app any more.
pub fn expectation(db: &Db, app: AppId) -> Result<Option<Expectation>, StoreError> {
    db.one(
        "SELECT team_id, expect_seconds, expect_wait_seconds FROM apps WHERE id = ?1 AND deleted_at IS NULL",
        [app.0],
        |row| {
            Ok(Expectation {
                team: TeamId(row.get("team_id")?),
                app,
                seconds: row.get("expect_seconds")?,
                wait_seconds: row.get("expect_wait_seconds")?,
            })
        },
    )
}

/// What the apps of a team say that say anything.
pub fn expectations(db: &Db, team: TeamId) -> Result<Vec<Expectation>, StoreError> {
    db.all(
        "SELECT id, expect_seconds, expect_wait_seconds FROM apps
         WHERE team_id = ?1 AND deleted_at IS NULL AND (expect_seconds IS NOT NULL OR expect_wait_seconds IS NOT NULL)",
        [team.0],
        |row| {
            Ok(Expectation {
                team,
                app: AppId(row.get("id")?),
                seconds: row.get("expect_seconds")?,
                wait_seconds: row.get("expect_wait_seconds")?,
            })
        },
    )
}

/// A team's runs of that status, by id, from behind `after`: at most `limit`.
pub fn of_status(
    db: &Db,
    team: TeamId,
    status: RunStatus,
    after: RunId,
    limit: i64,
) -> Result<Vec<Unfinished>, StoreError> {
    db.all(
        "SELECT id, app_id, queued_at, started_at FROM runs WHERE team_id = ?1 AND status = ?2 AND id > ?3 ORDER BY id LIMIT ?4",
        params![team.0, status.as_str(), after.0, limit],
        |row| {
            Ok(Unfinished {
                id: RunId(row.get("id")?),
                app: AppId(row.get("app_id")?),
                queued_at: at(row, "queued_at")?,
                started_at: maybe_at(row, "started_at")?,
            })
        },
    )
}
