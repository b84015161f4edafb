//! What commits of this subject change.

use std::sync::Arc;

use minitower_vocabulary::ids::{AppId, AttemptId, EnvironmentId, RunId, RunnerId, TeamId};
use minitower_vocabulary::time::Timestamp;

use crate::domain::gates::AppRules;
use crate::domain::log::Kept;
use crate::domain::run::{Concurrency, Run, RunProgress};
use crate::domain::runner::RunnerScope;
use crate::store::logs::LogLine;

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

/// The names behind a [`CountKey`], but for the team's slug, which that subject knows.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct CountNames {
    /// The app's slug.
    pub app: String,
    /// The environment's name.
    pub environment: String,
}

/// A run was made or moved.
#[derive(Debug, Clone)]
pub struct RunMoved {
    /// The run.
    pub id: RunId,
    /// Where it is counted.
    pub key: CountKey,
    /// The names of that place.
    pub names: CountNames,
    /// 1, 2, 3 … within the app.
    pub number: i64,
    /// Its version's number.
    pub version: i64,
    /// Name of the runner of the newest attempt.
    pub runner: Option<String>,
    /// How many attempts were begun.
    pub attempts: i64,
    /// Its labels, a JSON object as text.
    pub labels: Option<String>,
    /// Its priority.
    pub priority: i64,
    /// Bytes that it counts towards its team's storage.
    pub stored: i64,
    /// When it was created.
    pub created_at: Timestamp,
    /// With which runs it shares a limit of active ones.
    pub concurrency: Option<Concurrency>,
    /// Whether other runs come after it.
    pub awaited: bool,
    /// Start of the attempt that moved it.
    pub attempt_started_at: Option<Timestamp>,
    /// It before; none: it was made.
    pub before: Option<RunProgress>,
    /// It after.
    pub after: RunProgress,
}

impl RunMoved {
    pub(crate) fn new(run: &Run, before: Option<RunProgress>, attempt_started_at: Option<Timestamp>) -> Self {
        Self {
            id: run.id,
            key: CountKey { team_id: run.team_id, app_id: run.app_id, environment_id: run.environment_id },
            names: CountNames { app: run.app_slug.clone(), environment: run.environment.clone() },
            number: run.number,
            version: run.version_number,
            runner: run.runner.clone(),
            attempts: run.attempts,
            labels: run.labels.clone(),
            priority: run.priority,
            stored: run.counted(),
            created_at: run.created_at,
            concurrency: run.concurrency.clone(),
            awaited: run.awaited,
            attempt_started_at,
            before,
            after: run.progress.clone(),
        }
    }
}

/// A run that has ended was removed.
#[derive(Debug, Clone)]
pub struct RunGone {
    /// Where it was counted.
    pub key: CountKey,
    /// It, before.
    pub run: RunProgress,
}

impl RunGone {
    pub(crate) fn new(run: &Run) -> Self {
        let Run { team_id, app_id, environment_id, progress, .. } = run;
        let key = CountKey { team_id: *team_id, app_id: *app_id, environment_id: *environment_id };
        Self { key, run: progress.clone() }
    }
}

/// An app was deleted: nothing of it is shown any more.
#[derive(Debug, Clone, Copy)]
pub struct AppHidden {
    /// The app.
    pub id: AppId,
}

/// A run was deleted, or a version with its runs: no list shows them any more.
#[derive(Debug, Clone, Copy)]
pub struct RunsHidden;

/// An app was removed, with everything that was its.
#[derive(Debug, Clone, Copy)]
pub struct AppGone {
    /// The app.
    pub id: AppId,
}

/// A team stores more bytes than before, or fewer, beside the inputs of runs.
#[derive(Debug, Clone, Copy)]
pub struct Stored {
    /// The team.
    pub team: TeamId,
    /// How many more; below zero: fewer.
    pub bytes: i64,
}

/// The log of an attempt grew.
#[derive(Debug, Clone, Copy)]
pub struct LogGrew {
    /// The attempt's run.
    pub run: RunId,
    /// The attempt.
    pub attempt: AttemptId,
    /// What was kept of it before.
    pub before: Kept,
    /// What is kept of it after.
    pub after: Kept,
}

/// Lines were added to the log of an attempt.
#[derive(Debug, Clone)]
pub struct LogStored {
    /// The attempt's run.
    pub run: RunId,
    /// The attempt's number.
    pub attempt: i64,
    /// The lines as they came; some may have been there before.
    pub lines: Arc<Vec<LogLine>>,
}

/// An app or the newest of its versions is not what it was.
#[derive(Debug, Clone, Copy)]
pub struct AppChanged {
    /// The app.
    pub id: AppId,
}

/// An app says something else about its runs.
#[derive(Debug, Clone)]
pub struct AppRuled {
    /// The app.
    pub app: AppId,
    /// Its team.
    pub team: TeamId,
    /// What it said.
    pub before: AppRules,
    /// What it says.
    pub after: AppRules,
}

/// A runner registered, new or again.
#[derive(Debug, Clone)]
pub struct RunnerRegistered {
    /// Its id.
    pub id: RunnerId,
    /// Whom it serves.
    pub scope: RunnerScope,
    /// Its environment.
    pub environment: String,
    /// When.
    pub at: Timestamp,
    /// Hash of its former token, which is dead.
    pub former_token: Option<[u8; 32]>,
}

/// A runner has another name.
#[derive(Debug, Clone, Copy)]
pub struct RunnerRenamed {
    /// Hash of its token, which it keeps.
    pub token: [u8; 32],
}

/// Runners were forgotten; with the hashes of their tokens.
#[derive(Debug, Clone)]
pub struct RunnersForgotten(pub Vec<(RunnerId, [u8; 32])>);

/// The last fence on a name was lifted.
#[derive(Debug, Clone)]
pub struct Unfenced {
    /// The runner's name.
    pub runner_name: String,
}
