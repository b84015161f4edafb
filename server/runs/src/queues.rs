//! The queues of all environments, as the writer sees them inside its transaction: whose turn it is.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use minitower_kernel::events::Turn;
use minitower_kernel::{Db, StoreError};
use minitower_vocabulary::ids::{EnvironmentId, TeamId};
use minitower_vocabulary::statuses::RunStatus;

use crate::domain::queues::Queues as Domain;
use crate::domain::run::Run;
use crate::domain::runner::RunnerScope;
use crate::domain::turns::{Next, Place, Standing};
use crate::store::counts::{Bucket, Count};
use crate::store::events::RunMoved;
use crate::store::{queue, runs};
use minitower_teams::LimitsChanged;
use minitower_vocabulary::limits::LimitName;

/// A limit as it is for every team, and for those that have another.
pub(crate) type LimitByTeam = (i64, Vec<(TeamId, i64)>);

/// Commands alone read it, and it mirrors what they do, so that those of one batch see each other's changes.
#[derive(Debug, Default)]
pub(crate) struct Queues(Mutex<Domain>);

impl Queues {
    /// Takes over what the database knows at start.
    pub(crate) fn load(
        &self,
        counts: &[Count],
        environments: &HashMap<EnvironmentId, String>,
        limits: &LimitByTeam,
    ) {
        let mut queues = self.lock();
        *queues = Domain::new(limits.0);
        for (team, most) in &limits.1 {
            queues.limit(*team, *most);
        }
        for count in counts.iter().filter(|count| count.n != 0) {
            let (ready, active) = match count.bucket {
                Bucket::Status(RunStatus::Queued) => (count.n, 0),
                Bucket::Status(status) if status.is_active() => (0, count.n),
                Bucket::Status(_) | Bucket::Blocked(_) => continue,
            };
            // Its foreign key says that the environment is there.
            let environment = environments.get(&count.key.environment_id).map_or("", String::as_str);
            queues.load(environment, count.key.team_id, ready, active);
        }
    }

    /// The limits of a team changed, or that was taken back.
    pub(crate) fn limits_changed(&self, changed: &LimitsChanged, turn: Turn) {
        let limits = match turn {
            Turn::Done => &changed.after,
            Turn::Undone => &changed.before,
        };
        self.lock().limit(changed.team, limits.count(LimitName::ActiveRuns));
    }

    /// A run was made or moved, or that was taken back.
    pub(crate) fn moved(&self, moved: &RunMoved, turn: Turn) {
        let standing = |run| Standing::of(moved.priority, moved.id, run);
        let before = moved.before.as_ref().map_or(Standing::Aside, standing);
        let after = standing(&moved.after);
        if before == after {
            return;
        }
        let (environment, team) = (&moved.names.environment, moved.key.team_id);
        match turn {
            Turn::Done => self.lock().moved(environment, team, before, after),
            Turn::Undone => self.lock().taken_back(environment, team, before, after),
        }
    }

    /// The ready run that a runner of this scope and environment is to have: none of a team that has as many active runs as it may. It reads one row, however many teams have however many runs, and one
    /// more for each team that had no lease since the start and whose first run is not known: at first, or when it was cancelled.
    pub(crate) fn first(
        &self,
        db: &Db,
        scope: RunnerScope,
        environment: &str,
    ) -> Result<Option<Run>, StoreError> {
        if let RunnerScope::Team(team) = scope {
            let has_room = self.lock().has_room(team);
            return if has_room { queue::first_of_team(db, team, environment) } else { Ok(None) };
        }
        let mut asked = None;
        loop {
            match self.next(environment) {
                Next::Nobody => return Ok(None),
                Next::Ask(team) => {
                    let first = queue::first_of_team(db, team, environment)?
                        .ok_or_else(|| inconsistent("the queue", environment, team))?;
                    self.learn(environment, team, place(&first));
                    asked = Some(first);
                }
                Next::Run(id) => {
                    if let Some(run) = asked.take_if(|run| run.id == id) {
                        return Ok(Some(run));
                    }
                    let run = runs::by_id(db, id)?;
                    return run.map(Some).ok_or_else(|| {
                        StoreError::Inconsistent(format!("run {id} is in the queue and nowhere else"))
                    });
                }
            }
        }
    }

    fn next(&self, environment: &str) -> Next {
        self.lock().next(environment)
    }

    fn learn(&self, environment: &str, team: TeamId, first: Place) {
        self.lock().learn(environment, team, first);
    }

    fn lock(&self) -> MutexGuard<'_, Domain> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn place(run: &Run) -> Place {
    Place::new(run.priority, run.progress.queued_at, run.id)
}

fn inconsistent(what: &str, environment: &str, team: TeamId) -> StoreError {
    StoreError::Inconsistent(format!(
        "{what} of {environment:?} counts a ready run of team {team}, and there is none"
    ))
}
