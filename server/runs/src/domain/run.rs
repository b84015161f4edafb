//! A run and its state machine.
//!
//! `queued → leased → running → completed | failed | cancelled`, and `cancelling`, `dead`. The moves are made in [`crate::domain::lease`];
//! here is which of them exist at all.

use crate::domain::input::Input;
use crate::domain::retry::{RetryBudget, RetryPolicy};
use minitower_vocabulary::ids::{AppId, EnvironmentId, RunId, TeamId, VersionId};
use minitower_vocabulary::statuses::RunStatus;
use minitower_vocabulary::time::Timestamp;

/// Where a run stands, with what is known of it there.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum RunState {
    /// It waits for a runner.
    Queued {
        /// What it waits for besides a runner.
        wait: Wait,
        /// When an earlier attempt first started it.
        first_started_at: Option<Timestamp>,
    },
    /// A runner holds it and has not started it yet.
    Leased {
        /// When an earlier attempt first started it.
        first_started_at: Option<Timestamp>,
    },
    /// A runner has started it.
    Running {
        /// When it was first started.
        first_started_at: Timestamp,
    },
    /// A cancel was requested, and the runner has not confirmed it yet.
    Cancelling {
        /// When it was first started.
        first_started_at: Option<Timestamp>,
    },
    /// It ended well.
    Completed(RunEnd),
    /// It failed.
    Failed(RunEnd),
    /// It was cancelled.
    Cancelled {
        /// Whether somebody asked for it; a runner may report it of its own accord.
        requested: bool,
        /// Its end.
        end: RunEnd,
    },
    /// Its runners were lost more often than its retries allow.
    Dead(RunEnd),
}

/// What keeps a queued run from the runners: the first of these that does. When it no longer does, the next one may.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Wait {
    /// Nothing: it is ready, a runner may take it.
    Nothing,
    /// Runs that it comes after have not ended yet.
    After,
    /// Its backoff, until then.
    Until(Timestamp),
    /// Its app is disabled.
    Disabled,
    /// As many runs of its concurrency key are active as may be.
    Limit,
}

impl Wait {
    /// The reason; none: it is ready.
    pub const fn reason(self) -> Option<Blocked> {
        match self {
            Self::Nothing => None,
            Self::After => Some(Blocked::After),
            Self::Until(_) => Some(Blocked::Backoff),
            Self::Disabled => Some(Blocked::Disabled),
            Self::Limit => Some(Blocked::Limit),
        }
    }
}

/// Why a queued run is not ready, as one word.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Blocked {
    /// It comes after runs that have not ended.
    After,
    /// It waits for its retry.
    Backoff,
    /// Its app is disabled.
    Disabled,
    /// Too many runs of its key are active.
    Limit,
}

impl Blocked {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::After, Self::Backoff, Self::Disabled, Self::Limit];

    /// The word.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::After => "after",
            Self::Backoff => "backoff",
            Self::Disabled => "disabled",
            Self::Limit => "limit",
        }
    }

    /// What the word means.
    pub fn parse(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|reason| reason.as_str() == word)
    }
}

/// How many runs of a team may be active at the same time: those that have the same key.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Concurrency {
    /// What they share.
    pub key: String,
    /// How many at most; none: as many as the run's app says now.
    pub max: Option<i64>,
}

/// The end of a run.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct RunEnd {
    /// When it was first started, if it ever was.
    pub first_started_at: Option<Timestamp>,
    /// When it ended.
    pub finished_at: Timestamp,
    /// The job's exit code, if a runner reported one.
    pub exit_code: Option<i64>,
    /// Why it did not end well.
    pub error_message: Option<String>,
}

impl RunState {
    /// The word for it.
    pub const fn status(&self) -> RunStatus {
        match self {
            Self::Queued { .. } => RunStatus::Queued,
            Self::Leased { .. } => RunStatus::Leased,
            Self::Running { .. } => RunStatus::Running,
            Self::Cancelling { .. } => RunStatus::Cancelling,
            Self::Completed(_) => RunStatus::Completed,
            Self::Failed(_) => RunStatus::Failed,
            Self::Cancelled { .. } => RunStatus::Cancelled,
            Self::Dead(_) => RunStatus::Dead,
        }
    }

    /// Its end, if it has ended.
    pub const fn end(&self) -> Option<&RunEnd> {
        match self {
            Self::Completed(end) | Self::Failed(end) | Self::Cancelled { end, .. } | Self::Dead(end) => {
                Some(end)
            }
            Self::Queued { .. } | Self::Leased { .. } | Self::Running { .. } | Self::Cancelling { .. } => {
                None
            }
        }
    }

    /// When it was first started.
    pub const fn first_started_at(&self) -> Option<Timestamp> {
        match self {
            Self::Queued { first_started_at, .. }
            | Self::Leased { first_started_at }
            | Self::Cancelling { first_started_at } => *first_started_at,
            Self::Running { first_started_at } => Some(*first_started_at),
            Self::Completed(end) | Self::Failed(end) | Self::Cancelled { end, .. } | Self::Dead(end) => {
                end.first_started_at
            }
        }
    }

    /// What it waits for besides a runner, as long as it is queued.
    pub const fn wait(&self) -> Option<Wait> {
        match self {
            Self::Queued { wait, .. } => Some(*wait),
            Self::Leased { .. }
            | Self::Running { .. }
            | Self::Cancelling { .. }
            | Self::Completed(_)
            | Self::Failed(_)
            | Self::Cancelled { .. }
            | Self::Dead(_) => None,
        }
    }

    /// Whether somebody asked for its end.
    pub const fn is_cancel_requested(&self) -> bool {
        match self {
            Self::Cancelling { .. } => true,
            Self::Cancelled { requested, .. } => *requested,
            Self::Queued { .. }
            | Self::Leased { .. }
            | Self::Running { .. }
            | Self::Completed(_)
            | Self::Failed(_)
            | Self::Dead(_) => false,
        }
    }

    /// Queued, it may not be leased before this.
    pub const fn not_before(&self) -> Option<Timestamp> {
        match self.wait() {
            Some(Wait::Until(at)) => Some(at),
            Some(Wait::Nothing | Wait::After | Wait::Disabled | Wait::Limit) | None => None,
        }
    }

    /// Why it is not ready although it is queued.
    pub fn blocked_by(&self) -> Option<Blocked> {
        self.wait().and_then(Wait::reason)
    }

    /// Whether a runner may take it.
    pub const fn is_ready(&self) -> bool {
        matches!(self, Self::Queued { wait: Wait::Nothing, .. })
    }

    /// Whether it is queued, but has to wait for the end of its backoff.
    pub const fn is_backing_off(&self) -> bool {
        matches!(self, Self::Queued { wait: Wait::Until(_), .. })
    }
}

/// A state field by field, as a row of a table has it.
#[derive(Debug, Clone)]
pub struct RunFields {
    /// The word.
    pub status: RunStatus,
    /// Whether somebody asked for its end.
    pub cancel_requested: bool,
    /// Queued, why it is not ready.
    pub blocked_by: Option<Blocked>,
    /// Queued, it may not be leased before this.
    pub not_before: Option<Timestamp>,
    /// When it was first started.
    pub started_at: Option<Timestamp>,
    /// When it ended.
    pub finished_at: Option<Timestamp>,
    /// The job's exit code.
    pub exit_code: Option<i64>,
    /// Why it did not end well.
    pub error_message: Option<String>,
}

/// A status lacks a field that belongs to it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("it is {status} but has no {field}")]
pub struct Incomplete {
    /// The word of the status.
    pub status: &'static str,
    /// The field.
    pub field: &'static str,
}

impl TryFrom<RunFields> for RunState {
    type Error = Incomplete;

    fn try_from(fields: RunFields) -> Result<Self, Incomplete> {
        let RunFields {
            status,
            cancel_requested,
            blocked_by,
            not_before,
            started_at,
            finished_at,
            exit_code,
            error_message,
        } = fields;
        let lacks = |field| Incomplete { status: status.as_str(), field };
        let first_started_at = started_at;
        let end = || {
            let finished_at = finished_at.ok_or_else(|| lacks("finished_at"))?;
            Ok(RunEnd { first_started_at, finished_at, exit_code, error_message })
        };
        Ok(match status {
            RunStatus::Queued => {
                let wait = match blocked_by {
                    None => Wait::Nothing,
                    Some(Blocked::After) => Wait::After,
                    Some(Blocked::Backoff) => Wait::Until(not_before.ok_or_else(|| lacks("not_before"))?),
                    Some(Blocked::Disabled) => Wait::Disabled,
                    Some(Blocked::Limit) => Wait::Limit,
                };
                Self::Queued { wait, first_started_at }
            }
            RunStatus::Leased => Self::Leased { first_started_at },
            RunStatus::Running => {
                Self::Running { first_started_at: started_at.ok_or_else(|| lacks("started_at"))? }
            }
            RunStatus::Cancelling => Self::Cancelling { first_started_at },
            RunStatus::Completed => Self::Completed(end()?),
            RunStatus::Failed => Self::Failed(end()?),
            RunStatus::Cancelled => Self::Cancelled { requested: cancel_requested, end: end()? },
            RunStatus::Dead => Self::Dead(end()?),
        })
    }
}

/// What the rules read and change of a run.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct RunProgress {
    /// Its retries.
    pub retries: RetryBudget,
    /// What is retried, and after how long; none: losses only, at once.
    pub policy: Option<RetryPolicy>,
    /// When it last entered the queue; its place there.
    pub queued_at: Timestamp,
    /// Where it stands.
    pub state: RunState,
}

impl RunProgress {
    /// A new run without a policy.
    pub const fn queued(max_retries: i64, now: Timestamp) -> Self {
        Self {
            retries: RetryBudget::new(max_retries),
            policy: None,
            queued_at: now,
            state: RunState::Queued { wait: Wait::Nothing, first_started_at: None },
        }
    }

    /// The word for where it stands.
    pub const fn status(&self) -> RunStatus {
        self.state.status()
    }

    /// The same run in another state.
    #[must_use]
    pub fn into_state(self, state: RunState) -> Self {
        Self { state, ..self }
    }
}

/// A run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Run {
    /// Its id.
    pub id: RunId,
    /// Whose it is.
    pub team_id: TeamId,
    /// Its app.
    pub app_id: AppId,
    /// That app's slug.
    pub app_slug: String,
    /// 1, 2, 3 … within the app.
    pub number: i64,
    /// The version it runs.
    pub version_id: VersionId,
    /// That version's number.
    pub version_number: i64,
    /// Where it runs.
    pub environment_id: EnvironmentId,
    /// That environment's name.
    pub environment: String,
    /// Its input.
    pub input: Option<Input>,
    /// A JSON array of the input's keys whose values are shown to nobody but the runner; none: all are shown.
    pub hidden_parameters: Option<String>,
    /// What the job wrote for whoever started it, as JSON text.
    pub output: Option<String>,
    /// Its labels, a JSON object of strings as text; none: it has none.
    pub labels: Option<String>,
    /// The run that it repeats; none: it repeats none. That run may have been deleted.
    pub retry_of: Option<RunId>,
    /// Higher runs first.
    pub priority: i64,
    /// Seconds it may take; none: as its version says.
    pub timeout_seconds: Option<i64>,
    /// With which runs it shares a limit of active ones.
    pub concurrency: Option<Concurrency>,
    /// Whether other runs come after it.
    pub awaited: bool,
    /// The runs that it comes after, a JSON array as text; none: it comes after none.
    pub after: Option<String>,
    /// When it was created.
    pub created_at: Timestamp,
    /// Name of the runner of the newest attempt.
    pub runner: Option<String>,
    /// How many attempts were begun.
    pub attempts: i64,
    /// Where it stands, and what it keeps from one state to the next.
    pub progress: RunProgress,
    /// Counts the changes of the row, so that a stale decision is never saved.
    pub row_version: i64,
    /// Whether it was deleted, or its app or version was: it is not to start any more.
    pub deleted: bool,
}

/// Bytes that a run counts besides its texts: about what its row takes, the entries by which it is found, and its Idempotency-Key.
const ROW_BYTES: usize = 1024;
/// How often the labels of a run are stored: with the run, and twice to find it by them.
const LABEL_COPIES: usize = 3;

/// Bytes that a run counts towards its team's storage when it is made, by its input and its labels as they are stored.
pub fn counted(input_bytes: usize, labels: Option<&str>) -> i64 {
    let bytes = ROW_BYTES + input_bytes + LABEL_COPIES * labels.map_or(0, str::len);
    i64::try_from(bytes).unwrap_or(i64::MAX)
}

impl Run {
    /// Bytes that it counted when it was made.
    pub fn counted(&self) -> i64 {
        counted(self.input.as_ref().map_or(0, Input::bytes), self.labels.as_deref())
    }

    /// The word for where it stands.
    pub const fn status(&self) -> RunStatus {
        self.progress.status()
    }
}

#[cfg(test)]
mod tests;
