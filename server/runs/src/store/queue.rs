//! The queue of one team: `priority DESC, queued_at ASC, id ASC` within an environment, over runs that are ready. Between teams see
//! [`turns`](crate::domain::turns).

use crate::domain::run::Run;
use crate::store::runs;
use minitower_kernel::rusqlite::params;
use minitower_kernel::{At, Db, StoreError, at};
use minitower_vocabulary::ids::TeamId;
use minitower_vocabulary::time::Timestamp;

/// The first ready run of a team in an environment: one row of one partial index, however deep the queue.
pub fn first_of_team(db: &Db, team: TeamId, environment: &str) -> Result<Option<Run>, StoreError> {
    db.one(
        runs::select!(
            "WHERE r.id = (SELECT id FROM runs INDEXED BY runs_queue_of_team
                 WHERE team_id = ?1 AND environment_name = ?2 AND status = 'queued' AND blocked_by IS NULL
                 ORDER BY priority DESC, queued_at, id LIMIT 1)"
        ),
        params![team.0, environment],
        runs::read,
    )
}

/// How many ready runs come before one in its queue and were queued at `from` or later, with its priority.
pub fn before_in_slot(db: &Db, run: &Run, from: Timestamp) -> Result<u64, StoreError> {
    let before = db.one(
        "SELECT count(*) AS n FROM runs INDEXED BY runs_queue_of_team
         WHERE team_id = ?1 AND environment_name = ?2 AND status = 'queued' AND blocked_by IS NULL AND priority = ?3
             AND queued_at >= ?4 AND queued_at <= ?5 AND (queued_at < ?5 OR id < ?6)",
        params![
            run.team_id.0,
            run.environment,
            run.priority,
            At(from),
            At(run.progress.queued_at),
            run.id.0
        ],
        |row| Ok(row.get::<_, i64>("n")?.unsigned_abs()),
    )?;
    Ok(before.unwrap_or(0))
}

/// A group of ready runs: their team, environment, priority, the moment they were queued, and how many they are.
pub type Group = (TeamId, String, (i64, Timestamp), u64);

/// All ready runs, in groups that were queued in the same millisecond.
pub fn groups(db: &Db) -> Result<Vec<Group>, StoreError> {
    db.all(
        "SELECT team_id, environment_name, priority, queued_at, count(*) AS n FROM runs INDEXED BY runs_queue_of_team
         WHERE status = 'queued' AND blocked_by IS NULL GROUP BY team_id, environment_name, priority, queued_at",
        (),
        |row| {
            let place = (row.get("priority")?, at(row, "queued_at")?);
            Ok((TeamId(row.get("team_id")?), row.get("environment_name")?, place, row.get::<_, i64>("n")?.unsigned_abs()))
        },
    )
}
