//! The queue: `priority DESC, queued_at ASC, id ASC` within an environment, over runs that are ready.

use crate::domain::run::Run;
use crate::domain::runner::RunnerScope;
use crate::store::runs;
use minitower_kernel::rusqlite::params;
use minitower_kernel::{Db, StoreError};

/// The first ready run that a runner of this scope and environment may take: one row of one partial index, however deep the queue.
pub fn first(db: &Db, scope: RunnerScope, environment: &str) -> Result<Option<Run>, StoreError> {
    match scope {
        RunnerScope::Platform => db.one(
            runs::select!(
                "WHERE r.id = (SELECT id FROM runs INDEXED BY runs_queue_of_name
                     WHERE environment_name = ?1 AND status = 'queued' AND blocked_by IS NULL
                     ORDER BY priority DESC, queued_at, id LIMIT 1)"
            ),
            [environment],
            runs::read,
        ),
        RunnerScope::Team(team) => db.one(
            runs::select!(
                "WHERE r.id = (SELECT id FROM runs INDEXED BY runs_queue_of_team
                     WHERE team_id = ?1 AND environment_name = ?2 AND status = 'queued' AND blocked_by IS NULL
                     ORDER BY priority DESC, queued_at, id LIMIT 1)"
            ),
            params![team.0, environment],
            runs::read,
        ),
    }
}
