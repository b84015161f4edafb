//! The queue of one team: `priority DESC, queued_at ASC, id ASC` within an environment, over runs that are ready. Between teams see
//! [`turns`](crate::domain::turns).

use crate::domain::run::Run;
use crate::domain::turns::Place;
use crate::store::runs;
use minitower_kernel::rusqlite::{Params, params};
use minitower_kernel::{At, Db, StoreError, at};
use minitower_vocabulary::ids::{RunId, TeamId};
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
    let (queued_at, id) = (run.progress.queued_at, run.id.0);
    let which = "priority = ?3 AND queued_at >= ?4 AND queued_at <= ?5 AND (queued_at < ?5 OR id < ?6)";
    count(db, which, params![run.team_id.0, run.environment, run.priority, At(from), At(queued_at), id])
}

/// How many ready runs come before one in its queue and behind a place; none: from the first on. It looks at each of them.
pub fn between(db: &Db, from: Option<Place>, run: &Run) -> Result<u64, StoreError> {
    let (team, environment) = (run.team_id.0, &run.environment);
    let (priority, queued_at, id) = (run.priority, At(run.progress.queued_at), run.id.0);
    let to = "priority = ?3 AND (queued_at, id) < (?4, ?5)";
    let Some(from) = from else {
        let higher = count(db, "priority > ?3", params![team, environment, priority])?;
        return Ok(higher + count(db, to, params![team, environment, priority, queued_at, id])?);
    };
    let (last, at, last_id) = (from.priority(), At(from.queued_at()), from.run().0);
    if last == priority {
        let which = "priority = ?3 AND (queued_at, id) > (?4, ?5) AND (queued_at, id) < (?6, ?7)";
        return count(db, which, params![team, environment, priority, at, last_id, queued_at, id]);
    }
    let beyond = "priority = ?3 AND (queued_at, id) > (?4, ?5)";
    let beyond = count(db, beyond, params![team, environment, last, at, last_id])?;
    let between = count(db, "priority < ?3 AND priority > ?4", params![team, environment, last, priority])?;
    Ok(beyond + between + count(db, to, params![team, environment, priority, queued_at, id])?)
}

/// The ready runs of a team in an environment behind a place, in their order, at most `limit`; none: from the first on. Fewer than that
/// are all there are.
pub fn behind(
    db: &Db,
    team: TeamId,
    environment: &str,
    from: Option<Place>,
    limit: usize,
) -> Result<Vec<Place>, StoreError> {
    let most = |n: usize| i64::try_from(n).unwrap_or(i64::MAX);
    let Some(from) = from else {
        return places(db, "TRUE", "?3", params![team.0, environment, most(limit)]);
    };
    let (last, at) = (from.priority(), At(from.queued_at()));
    let which = "priority = ?3 AND (queued_at, id) > (?4, ?5)";
    let of_last = params![team.0, environment, last, at, from.run().0, most(limit)];
    let mut found = places(db, which, "?6", of_last)?;
    if found.len() < limit {
        let rest = params![team.0, environment, last, most(limit - found.len())];
        found.extend(places(db, "priority < ?3", "?4", rest)?);
    }
    Ok(found)
}

/// The ready runs of a team in an environment, as far as they are in the queue's index.
const READY: &str = "FROM runs INDEXED BY runs_queue_of_team
     WHERE team_id = ?1 AND environment_name = ?2 AND status = 'queued' AND blocked_by IS NULL";

fn count(db: &Db, which: &str, values: impl Params) -> Result<u64, StoreError> {
    let sql = format!("SELECT count(*) AS n {READY} AND {which}");
    let n = db.one(&sql, values, |row| Ok(row.get::<_, i64>("n")?.unsigned_abs()))?;
    Ok(n.unwrap_or(0))
}

fn places(db: &Db, which: &str, limit: &str, values: impl Params) -> Result<Vec<Place>, StoreError> {
    let sql = format!(
        "SELECT priority, queued_at, id {READY} AND {which} ORDER BY priority DESC, queued_at, id LIMIT {limit}"
    );
    db.all(&sql, values, |row| {
        Ok(Place::new(row.get("priority")?, at(row, "queued_at")?, RunId(row.get("id")?)))
    })
}
