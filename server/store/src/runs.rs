//! Runs.

use minitower_domain::clock::Timestamp;
use minitower_domain::ids::{AppId, EnvironmentId, RunId, TeamId, VersionId};
use minitower_domain::retry::RetryBudget;
use minitower_domain::run::{Run, RunState, RunStatus};
use rusqlite::types::Value;
use rusqlite::{Row, params, params_from_iter};

use crate::db::{At, at, maybe_at};
use crate::effects::{Effect, RunMoved};
use crate::{Db, StoreError, Tx, apps};

pub(crate) const SELECT: &str = "SELECT r.id, r.team_id, t.slug AS team_slug, r.app_id, a.slug AS app_slug, r.run_no, \
     r.app_version_id, v.version_no, r.environment_id, r.environment_name, r.input, r.priority, r.created_at, r.runner_name, \
     r.status, r.max_retries, r.retry_count, r.cancel_requested, r.queued_at, r.started_at, r.finished_at, r.exit_code, \
     r.error_message, r.row_version \
     FROM runs r JOIN teams t ON t.id = r.team_id JOIN apps a ON a.id = r.app_id \
     JOIN app_versions v ON v.id = r.app_version_id ";

/// What makes a run.
#[derive(Debug, Clone)]
pub struct NewRun {
    /// Its team, with the slug.
    pub team: (TeamId, String),
    /// Its app, with the slug.
    pub app: (AppId, String),
    /// The version, with its number.
    pub version: (VersionId, i64),
    /// Where it runs, with the name.
    pub environment: (EnvironmentId, String),
    /// Its input, a JSON object as text.
    pub input: Option<String>,
    /// Higher runs first.
    pub priority: i64,
    /// How often it may start again.
    pub max_retries: i64,
}

/// A new queued run.
pub fn insert(tx: &Tx<'_>, new: NewRun, now: Timestamp) -> Result<Run, StoreError> {
    let number = apps::next_run_no(tx, new.app.0)?;
    let state = RunState::queued(new.max_retries, now);
    let id = tx.insert(
        "INSERT INTO runs (team_id, app_id, environment_id, environment_name, app_version_id, run_no, status, input, priority,
                           max_retries, created_at, queued_at)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?11)",
        params![
            new.team.0.0,
            new.app.0.0,
            new.environment.0.0,
            new.environment.1,
            new.version.0.0,
            number,
            state.status.as_str(),
            new.input,
            new.priority,
            new.max_retries,
            At(now)
        ],
    )?;
    let run = Run {
        id: RunId(id),
        team_id: new.team.0,
        team_slug: new.team.1,
        app_id: new.app.0,
        app_slug: new.app.1,
        number,
        version_id: new.version.0,
        version_number: new.version.1,
        environment_id: new.environment.0,
        environment: new.environment.1,
        input: new.input,
        priority: new.priority,
        created_at: now,
        runner: None,
        state,
        row_version: 0,
    };
    tx.emit(Effect::RunMoved(RunMoved::new(&run, None, None)));
    Ok(run)
}

/// Saves a run's new state, if nobody changed the row since it was read; nothing is written when nothing changed. `attempt_started_at` is the
/// start of the attempt that moves it, for the metrics.
pub fn save(
    tx: &Tx<'_>,
    run: &Run,
    after: RunState,
    attempt_started_at: Option<Timestamp>,
) -> Result<Run, StoreError> {
    if run.state == after {
        return Ok(run.clone());
    }
    let changed = tx.execute(
        "UPDATE runs SET status = ?3, retry_count = ?4, cancel_requested = ?5, queued_at = ?6, started_at = ?7, finished_at = ?8,
                         exit_code = ?9, error_message = ?10, row_version = row_version + 1
         WHERE id = ?1 AND row_version = ?2",
        params![
            run.id.0,
            run.row_version,
            after.status.as_str(),
            after.retries.used,
            after.cancel_requested,
            At(after.queued_at),
            after.started_at.map(At),
            after.finished_at.map(At),
            after.exit_code,
            after.error_message
        ],
    )?;
    if changed == 0 {
        return Err(StoreError::Stale { what: "run", id: run.id.0 });
    }
    let saved = Run { state: after, row_version: run.row_version + 1, ..run.clone() };
    tx.emit(Effect::RunMoved(RunMoved::new(&saved, Some(run.state.clone()), attempt_started_at)));
    Ok(saved)
}

/// Notes who runs it now, and takes the number of the run's next attempt.
pub(crate) fn begin_attempt(tx: &Tx<'_>, id: RunId, runner_name: &str) -> Result<i64, StoreError> {
    tx.one(
        "UPDATE runs SET attempt_count = attempt_count + 1, runner_name = ?2 WHERE id = ?1 RETURNING attempt_count",
        params![id.0, runner_name],
        |row| Ok(row.get(0)?),
    )?
    .ok_or_else(|| StoreError::Inconsistent(format!("no run {id}")))
}

/// The run of that id.
pub fn by_id(db: &Db, id: RunId) -> Result<Option<Run>, StoreError> {
    db.one(&format!("{SELECT} WHERE r.id = ?1"), [id.0], read)
}

/// The team's run of that id.
pub fn by_id_of_team(db: &Db, team: TeamId, id: RunId) -> Result<Option<Run>, StoreError> {
    db.one(&format!("{SELECT} WHERE r.id = ?1 AND r.team_id = ?2"), params![id.0, team.0], read)
}

/// Which runs to list.
#[derive(Debug, Clone, Default)]
pub struct Filter {
    /// Only this app's.
    pub app: Option<AppId>,
    /// Only in this state.
    pub status: Option<RunStatus>,
    /// Only of this environment.
    pub environment: Option<String>,
    /// Only older ones than this.
    pub before: Option<RunId>,
    /// At most so many.
    pub limit: i64,
    /// Leave out so many first.
    pub offset: i64,
}

/// A team's runs, newest first.
pub fn list(db: &Db, team: TeamId, filter: &Filter) -> Result<Vec<Run>, StoreError> {
    let mut sql = format!("{SELECT} WHERE r.team_id = ?");
    let mut values = vec![Value::from(team.0)];
    let mut and = |condition: &str, value: Value| {
        sql.push_str(" AND ");
        sql.push_str(condition);
        values.push(value);
    };
    if let Some(app) = filter.app {
        and("r.app_id = ?", app.0.into());
    }
    if let Some(status) = filter.status {
        and("r.status = ?", status.as_str().to_owned().into());
    }
    if let Some(environment) = &filter.environment {
        and("r.environment_name = ?", environment.clone().into());
    }
    // Within an app numbers and ids grow together, and the numbers have the index.
    let by_number = filter.app.is_some() && filter.status.is_none();
    if let Some(before) = filter.before {
        // The plus keeps SQLite from walking the team's ids instead, and sorting all of the app's runs.
        and(if by_number { "+r.id < ?" } else { "r.id < ?" }, before.0.into());
    }
    sql.push_str(if by_number { " ORDER BY r.run_no DESC" } else { " ORDER BY r.id DESC" });
    sql.push_str(" LIMIT ? OFFSET ?");
    values.extend([Value::from(filter.limit), Value::from(filter.offset)]);
    db.all(&sql, params_from_iter(values), read)
}

pub(crate) fn read(row: &Row<'_>) -> Result<Run, StoreError> {
    let id: i64 = row.get("id")?;
    let status: String = row.get("status")?;
    Ok(Run {
        id: RunId(id),
        team_id: TeamId(row.get("team_id")?),
        team_slug: row.get("team_slug")?,
        app_id: AppId(row.get("app_id")?),
        app_slug: row.get("app_slug")?,
        number: row.get("run_no")?,
        version_id: VersionId(row.get("app_version_id")?),
        version_number: row.get("version_no")?,
        environment_id: EnvironmentId(row.get("environment_id")?),
        environment: row.get("environment_name")?,
        input: row.get("input")?,
        priority: row.get("priority")?,
        created_at: at(row, "created_at")?,
        runner: row.get("runner_name")?,
        state: RunState {
            status: RunStatus::parse(&status)
                .ok_or_else(|| StoreError::Inconsistent(format!("run {id} with status {status:?}")))?,
            retries: RetryBudget { max: row.get("max_retries")?, used: row.get("retry_count")? },
            cancel_requested: row.get("cancel_requested")?,
            queued_at: at(row, "queued_at")?,
            started_at: maybe_at(row, "started_at")?,
            finished_at: maybe_at(row, "finished_at")?,
            exit_code: row.get("exit_code")?,
            error_message: row.get("error_message")?,
        },
        row_version: row.get("row_version")?,
    })
}
