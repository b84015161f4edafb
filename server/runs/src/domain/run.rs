//! A run and its state machine.
//!
//! `queued → leased → running → completed | failed | cancelled`, and `cancelling`, `dead`. The moves are made in [`crate::domain::lease`];
//! here is which of them exist at all.

use crate::domain::retry::{RetryBudget, RetryPolicy};
use minitower_vocabulary::ids::{AppId, EnvironmentId, RunId, TeamId, VersionId};
use minitower_vocabulary::statuses::RunStatus;
use minitower_vocabulary::time::Timestamp;

/// What the rules read and change of a run.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct RunState {
    /// Where it stands.
    pub status: RunStatus,
    /// Its retries.
    pub retries: RetryBudget,
    /// What is retried, and after how long; none: losses only, at once.
    pub policy: Option<RetryPolicy>,
    /// Whether a cancel was asked for.
    pub cancel_requested: bool,
    /// When it last entered the queue; its place there.
    pub queued_at: Timestamp,
    /// Queued, it may not be leased before this; none: it is ready.
    pub not_before: Option<Timestamp>,
    /// Its first start.
    pub started_at: Option<Timestamp>,
    /// Its end.
    pub finished_at: Option<Timestamp>,
    /// The job's exit code.
    pub exit_code: Option<i64>,
    /// Why it ended badly.
    pub error_message: Option<String>,
}

impl RunState {
    /// A new run without a policy.
    pub const fn queued(max_retries: i64, now: Timestamp) -> Self {
        Self {
            status: RunStatus::Queued,
            retries: RetryBudget::new(max_retries),
            policy: None,
            cancel_requested: false,
            queued_at: now,
            not_before: None,
            started_at: None,
            finished_at: None,
            exit_code: None,
            error_message: None,
        }
    }

    /// Whether a runner may take it.
    pub fn is_ready(&self) -> bool {
        self.status == RunStatus::Queued && self.not_before.is_none()
    }

    /// Whether it is queued, but has to wait for the end of its backoff.
    pub fn is_backing_off(&self) -> bool {
        self.status == RunStatus::Queued && self.not_before.is_some()
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
    /// Its input, a JSON object as text.
    pub input: Option<String>,
    /// A JSON array of the input's keys whose values are shown to nobody but the runner; none: all are shown.
    pub hidden_parameters: Option<String>,
    /// What the job wrote for whoever started it, as JSON text.
    pub output: Option<String>,
    /// Higher runs first.
    pub priority: i64,
    /// Seconds it may take; none: as its version says.
    pub timeout_seconds: Option<i64>,
    /// When it was created.
    pub created_at: Timestamp,
    /// Name of the runner of the newest attempt.
    pub runner: Option<String>,
    /// How many attempts were begun.
    pub attempts: i64,
    /// Where it stands.
    pub state: RunState,
    /// Counts the changes of the row, so that a stale decision is never saved.
    pub row_version: i64,
}
