//! Lists of runs, by what a team looks for.

use minitower_kernel::rusqlite::params_from_iter;
use minitower_kernel::rusqlite::types::Value;
use minitower_kernel::{Db, StoreError};
use minitower_vocabulary::ids::{AppId, RunId, TeamId};
use minitower_vocabulary::statuses::RunStatus;

use super::runs::{read, select};
use crate::domain::labels::Label;
use crate::domain::run::Run;

/// Which runs to list.
#[derive(Debug, Clone, Default)]
pub struct Filter {
    /// Only this app's.
    pub app: Option<AppId>,
    /// Only in this state.
    pub status: Option<RunStatus>,
    /// Only of this environment.
    pub environment: Option<String>,
    /// Only those that have all of these labels.
    pub labels: Vec<Label>,
    /// Only older ones than this.
    pub before: Option<RunId>,
    /// At most so many.
    pub limit: i64,
    /// Leave out so many first.
    pub offset: i64,
    /// Only those that no other run repeats.
    pub not_repeated: bool,
}

/// A run that was found, with the slug of its app and the number of its version.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Found {
    /// The run.
    pub id: RunId,
    /// Its app.
    pub app: String,
    /// Its version.
    pub version: i64,
}

/// A team's runs, newest first.
pub fn list(db: &Db, team: TeamId, filter: &Filter) -> Result<Vec<Run>, StoreError> {
    let (sql, values) = statement(team, filter);
    db.all(&sql, params_from_iter(values), read)
}

/// The same runs, without all else.
pub fn ids(db: &Db, team: TeamId, filter: &Filter) -> Result<Vec<Found>, StoreError> {
    let (rest, values) = rest(team, filter);
    let sql = format!("SELECT r.id AS id, a.slug AS slug, v.version_no AS version_no {FROM} {rest}");
    db.all(&sql, params_from_iter(values), |row| {
        Ok(Found { id: RunId(row.get("id")?), app: row.get("slug")?, version: row.get("version_no")? })
    })
}

/// How many runs there are, whatever the filter's limit.
pub fn count(db: &Db, team: TeamId, filter: &Filter) -> Result<u64, StoreError> {
    let (rest, values) = rest(team, &Filter { limit: -1, offset: 0, ..filter.clone() });
    let sql = format!("SELECT count(*) AS n FROM (SELECT r.id {FROM} {rest})");
    let n: Option<i64> = db.one(&sql, params_from_iter(values), |row| Ok(row.get("n")?))?;
    Ok(n.unwrap_or(0).unsigned_abs())
}

/// Whether another run repeats it, and was not deleted.
pub fn is_repeated(db: &Db, run: RunId) -> Result<bool, StoreError> {
    let sql = "SELECT 1 FROM runs WHERE retry_of = ?1 AND deleted_at IS NULL LIMIT 1";
    Ok(db.one(sql, [run.0], |_| Ok(()))?.is_some())
}

/// What [`rest`] goes on from.
const FROM: &str =
    "FROM runs r JOIN apps a ON a.id = r.app_id JOIN app_versions v ON v.id = r.app_version_id";

/// The statement of a list. It walks one index in the list's order, so that it reads no more than it skips and shows.
pub(crate) fn statement(team: TeamId, filter: &Filter) -> (String, Vec<Value>) {
    let (rest, values) = rest(team, filter);
    (select!("").to_owned() + &rest, values)
}

/// What follows the tables.
fn rest(team: TeamId, filter: &Filter) -> (String, Vec<Value>) {
    let (first, others) = match filter.labels.split_first() {
        Some((first, others)) => (Some(first), others),
        None => (None, [].as_slice()),
    };
    // Within an app numbers and ids grow together, and the numbers have the index.
    let by_number = filter.app.is_some() && filter.status.is_none() && first.is_none();
    let mut sql = if first.is_some() {
        // The plus keeps SQLite from walking an index of runs, and looking for the label of each.
        "JOIN run_labels l ON l.run_id = r.id WHERE +r.team_id = ?".to_owned()
    } else {
        "WHERE r.team_id = ?".to_owned()
    };
    // What was deleted is no longer shown, and neither is what went with its app or version.
    sql.push_str(" AND r.deleted_at IS NULL AND a.deleted_at IS NULL AND v.deleted_at IS NULL");
    let mut values = vec![Value::from(team.0)];
    let mut and = |condition: &str, new: Vec<Value>| {
        sql.push_str(" AND ");
        sql.push_str(condition);
        values.extend(new);
    };
    let text = |text: &str| Value::from(text.to_owned());
    if let Some(label) = first {
        let of_label = vec![team.0.into(), text(&label.key), text(&label.value)];
        and("l.team_id = ? AND l.key = ? AND l.value = ?", of_label);
    }
    for label in others {
        let of_label = vec![team.0.into(), text(&label.key), text(&label.value)];
        and(
            "EXISTS (SELECT 1 FROM run_labels o
                WHERE o.team_id = ? AND o.key = ? AND o.value = ? AND o.run_id = r.id)",
            of_label,
        );
    }
    if let Some(app) = filter.app {
        and(if first.is_some() { "+r.app_id = ?" } else { "r.app_id = ?" }, vec![app.0.into()]);
    }
    if let Some(status) = filter.status {
        and("r.status = ?", vec![text(status.as_str())]);
    }
    if let Some(environment) = &filter.environment {
        and("r.environment_name = ?", vec![text(environment)]);
    }
    if filter.not_repeated {
        let repeats = "NOT EXISTS (SELECT 1 FROM runs n WHERE n.retry_of = r.id AND n.deleted_at IS NULL)";
        and(repeats, Vec::new());
    }
    let (before, order) = match (first, by_number) {
        (Some(_), _) => ("l.run_id < ?", " ORDER BY l.run_id DESC"),
        // The plus keeps SQLite from walking the team's ids instead, and sorting all of the app's runs.
        (None, true) => ("+r.id < ?", " ORDER BY r.run_no DESC"),
        (None, false) => ("r.id < ?", " ORDER BY r.id DESC"),
    };
    if let Some(id) = filter.before {
        and(before, vec![id.0.into()]);
    }
    sql.push_str(order);
    sql.push_str(" LIMIT ? OFFSET ?");
    values.extend([Value::from(filter.limit), Value::from(filter.offset)]);
    (sql, values)
}
