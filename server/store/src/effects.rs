//! What a commit changed, for those who must know of it: gauges, metrics, waiting polls.

use minitower_domain::clock::Timestamp;
use minitower_domain::ids::{AppId, EnvironmentId, RunnerId, TeamId};
use minitower_domain::run::{Run, RunState};

/// Where a run is counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct CountKey {
    /// Its team.
    pub team_id: TeamId,
    /// Its app.
    pub app_id: AppId,
    /// Its environment.
    pub environment_id: EnvironmentId,
}

/// The names behind a [`CountKey`].
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct CountNames {
    /// The team's slug.
    pub team: String,
    /// The app's slug.
    pub app: String,
    /// The environment's name.
    pub environment: String,
}

/// A run that was made or moved.
#[derive(Debug, Clone)]
pub struct RunMoved {
    /// Where it is counted.
    pub key: CountKey,
    /// The names of that place.
    pub names: CountNames,
    /// When it was created.
    pub created_at: Timestamp,
    /// Start of the attempt that moved it.
    pub attempt_started_at: Option<Timestamp>,
    /// Its state before; none: it was made.
    pub before: Option<RunState>,
    /// Its state after.
    pub after: RunState,
}

impl RunMoved {
    pub(crate) fn new(
        run: &Run,
        before: Option<RunState>,
        attempt_started_at: Option<Timestamp>,
    ) -> Box<Self> {
        Box::new(Self {
            key: CountKey { team_id: run.team_id, app_id: run.app_id, environment_id: run.environment_id },
            names: CountNames {
                team: run.team_slug.clone(),
                app: run.app_slug.clone(),
                environment: run.environment.clone(),
            },
            created_at: run.created_at,
            attempt_started_at,
            before,
            after: run.state.clone(),
        })
    }
}

/// One thing a commit changed.
#[derive(Debug, Clone)]
pub enum Effect {
    /// A run was made or moved.
    RunMoved(Box<RunMoved>),
    /// An environment came to be.
    EnvironmentMade {
        /// Its team's slug.
        team: String,
        /// Its id.
        id: EnvironmentId,
        /// Its name.
        name: String,
    },
    /// An app or the newest of its versions is not what it was.
    AppChanged,
    /// A runner registered, new or again.
    RunnerRegistered {
        /// Its id.
        id: RunnerId,
        /// Its environment.
        environment: String,
        /// When.
        at: Timestamp,
    },
    /// Runners were forgotten.
    RunnersForgotten(Vec<RunnerId>),
    /// The last fence on a name was lifted.
    Unfenced {
        /// The runner's name.
        runner_name: String,
    },
}
