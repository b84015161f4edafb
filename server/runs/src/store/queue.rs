//! The queue of one team: `priority DESC, queued_at ASC, id ASC` within an environment, over runs that are ready. Between teams see
//! [`turns`](crate::domain::turns).

use crate::domain::run::Run;
use crate::store::runs;
use minitower_kernel::rusqlite::params;
use minitower_kernel::{Db, StoreError};
use minitower_vocabulary::ids::TeamId;

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
