//! An attempt at a run and its state machine.
//!
//! `leased → running → completed | failed | cancelled`; `leased | running → cancelling → cancelled`; `leased | running → expired`;
//! `leased | running → released`. The moves are made in [`crate::domain::lease`]; here is which of them exist at all.

use std::time::Duration;

use crate::domain::run::Incomplete;
use minitower_vocabulary::ids::{AttemptId, RunId, RunnerId};
use minitower_vocabulary::statuses::{AttemptStatus, ResultReason};
use minitower_vocabulary::time::Timestamp;

/// Bytes that an attempt counts besides its message: about what its row takes.
pub const ROW_BYTES: i64 = 512;

/// What put an end to an attempt. A result accepted under a lease is answered by the result rule for ever, any other end makes
/// the lease stale; the status alone does not tell, since a cancelling attempt ends `cancelled` either way.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum EndedBy {
    /// The runner's result.
    Result,
    /// The lease ran out.
    Expiry,
    /// The runner gave the run back.
    Release,
    /// Somebody who knows said that the process has ended, or its successor did.
    ProcessEnd,
}

impl EndedBy {
    const ALL: [Self; 4] = [Self::Result, Self::Expiry, Self::Release, Self::ProcessEnd];

    /// The word in the database.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Result => "result",
            Self::Expiry => "expiry",
            Self::Release => "release",
            Self::ProcessEnd => "process_end",
        }
    }

    /// The end of that name.
    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|s| s.as_str() == text)
    }
}

/// What a runner reports of a job that has ended.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Default)]
pub struct JobEnd {
    /// Its exit code.
    pub exit_code: Option<i64>,
    /// Why it did not end well.
    pub error_message: Option<String>,
    /// What ended it.
    pub reason: Option<ResultReason>,
}

/// How a runner is lost.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum LostBy {
    /// The lease ran out.
    Expiry,
    /// Somebody who knows said that the process has ended, or its successor did.
    ProcessEnd,
}

/// The loss of a runner.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Loss {
    /// How it was lost.
    pub by: LostBy,
    /// What is told of it.
    pub message: Option<String>,
}

/// What confirms a cancel.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum CancelledBy {
    /// The runner's result.
    Result(JobEnd),
    /// The loss of the runner: nothing is left to stop.
    Loss(Loss),
    /// The runner gave the run back.
    Release,
}

/// Where an attempt stands, with what is known of it there.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum AttemptState {
    /// A runner holds it and has not started it yet.
    Leased,
    /// The runner has started it.
    Running {
        /// When.
        started_at: Timestamp,
    },
    /// A cancel was requested.
    Cancelling {
        /// When the runner started it, if it did.
        started_at: Option<Timestamp>,
    },
    /// It ended well.
    Completed {
        /// When it began and ended.
        span: Span,
        /// What the runner reported.
        job: JobEnd,
    },
    /// It failed.
    Failed {
        /// When it began and ended.
        span: Span,
        /// What the runner reported.
        job: JobEnd,
    },
    /// It was cancelled.
    Cancelled {
        /// When it began and ended.
        span: Span,
        /// What confirmed the cancel.
        by: CancelledBy,
    },
    /// Its runner was lost.
    Expired {
        /// When it began and ended.
        span: Span,
        /// How.
        loss: Loss,
    },
    /// The runner gave the run back.
    Released {
        /// When it began and ended.
        span: Span,
    },
}

/// When an attempt that has ended began and ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Span {
    /// When the runner started it, if it did.
    pub started_at: Option<Timestamp>,
    /// When it ended.
    pub finished_at: Timestamp,
}

impl AttemptState {
    /// The word for it.
    pub const fn status(&self) -> AttemptStatus {
        match self {
            Self::Leased => AttemptStatus::Leased,
            Self::Running { .. } => AttemptStatus::Running,
            Self::Cancelling { .. } => AttemptStatus::Cancelling,
            Self::Completed { .. } => AttemptStatus::Completed,
            Self::Failed { .. } => AttemptStatus::Failed,
            Self::Cancelled { .. } => AttemptStatus::Cancelled,
            Self::Expired { .. } => AttemptStatus::Expired,
            Self::Released { .. } => AttemptStatus::Released,
        }
    }

    /// When it began and ended, if it has ended.
    pub const fn span(&self) -> Option<Span> {
        match self {
            Self::Leased | Self::Running { .. } | Self::Cancelling { .. } => None,
            Self::Completed { span, .. }
            | Self::Failed { span, .. }
            | Self::Cancelled { span, .. }
            | Self::Expired { span, .. }
            | Self::Released { span } => Some(*span),
        }
    }

    /// When the runner started it.
    pub const fn started_at(&self) -> Option<Timestamp> {
        match self {
            Self::Leased => None,
            Self::Running { started_at } => Some(*started_at),
            Self::Cancelling { started_at } => *started_at,
            Self::Completed { span, .. }
            | Self::Failed { span, .. }
            | Self::Cancelled { span, .. }
            | Self::Expired { span, .. }
            | Self::Released { span } => span.started_at,
        }
    }

    /// When it ended.
    pub fn finished_at(&self) -> Option<Timestamp> {
        self.span().map(|span| span.finished_at)
    }

    /// What the runner reported at its end, if the report counts.
    pub const fn job(&self) -> Option<&JobEnd> {
        match self {
            Self::Completed { job, .. }
            | Self::Failed { job, .. }
            | Self::Cancelled { by: CancelledBy::Result(job), .. } => Some(job),
            Self::Leased
            | Self::Running { .. }
            | Self::Cancelling { .. }
            | Self::Cancelled { by: CancelledBy::Loss(_) | CancelledBy::Release, .. }
            | Self::Expired { .. }
            | Self::Released { .. } => None,
        }
    }

    /// What ended it.
    pub const fn ended_by(&self) -> Option<EndedBy> {
        match self {
            Self::Leased | Self::Running { .. } | Self::Cancelling { .. } => None,
            Self::Completed { .. }
            | Self::Failed { .. }
            | Self::Cancelled { by: CancelledBy::Result(_), .. } => Some(EndedBy::Result),
            Self::Cancelled { by: CancelledBy::Loss(loss), .. } | Self::Expired { loss, .. } => {
                Some(match loss.by {
                    LostBy::Expiry => EndedBy::Expiry,
                    LostBy::ProcessEnd => EndedBy::ProcessEnd,
                })
            }
            Self::Cancelled { by: CancelledBy::Release, .. } | Self::Released { .. } => {
                Some(EndedBy::Release)
            }
        }
    }

    /// Bytes that the attempt counts towards its team's storage: from its end on, about what its row takes, and its message.
    pub fn counted(&self) -> i64 {
        if self.status().is_active() {
            return 0;
        }
        ROW_BYTES + self.error_message().map_or(0, |message| i64::try_from(message.len()).unwrap_or(i64::MAX))
    }

    /// Why it did not end well.
    pub fn error_message(&self) -> Option<&str> {
        match self {
            Self::Cancelled { by: CancelledBy::Loss(loss), .. } | Self::Expired { loss, .. } => {
                loss.message.as_deref()
            }
            Self::Leased
            | Self::Running { .. }
            | Self::Cancelling { .. }
            | Self::Completed { .. }
            | Self::Failed { .. }
            | Self::Cancelled { by: CancelledBy::Result(_) | CancelledBy::Release, .. }
            | Self::Released { .. } => self.job().and_then(|job| job.error_message.as_deref()),
        }
    }
}

/// A state field by field, as a row of a table has it.
#[derive(Debug, Clone)]
pub struct AttemptFields {
    /// The word.
    pub status: AttemptStatus,
    /// When the runner started it.
    pub started_at: Option<Timestamp>,
    /// When it ended.
    pub finished_at: Option<Timestamp>,
    /// What ended it.
    pub ended_by: Option<EndedBy>,
    /// The job's exit code.
    pub exit_code: Option<i64>,
    /// Why it did not end well.
    pub error_message: Option<String>,
    /// What ended the job.
    pub reason: Option<ResultReason>,
}

impl TryFrom<AttemptFields> for AttemptState {
    type Error = Incomplete;

    fn try_from(fields: AttemptFields) -> Result<Self, Incomplete> {
        let AttemptFields { status, started_at, finished_at, ended_by, exit_code, error_message, reason } =
            fields;
        let lacks = |field| Incomplete { status: status.as_str(), field };
        let span = || {
            let finished_at = finished_at.ok_or_else(|| lacks("finished_at"))?;
            Ok(Span { started_at, finished_at })
        };
        Ok(match status {
            AttemptStatus::Leased => Self::Leased,
            AttemptStatus::Running => {
                Self::Running { started_at: started_at.ok_or_else(|| lacks("started_at"))? }
            }
            AttemptStatus::Cancelling => Self::Cancelling { started_at },
            AttemptStatus::Completed => {
                Self::Completed { span: span()?, job: JobEnd { exit_code, error_message, reason } }
            }
            AttemptStatus::Failed => {
                Self::Failed { span: span()?, job: JobEnd { exit_code, error_message, reason } }
            }
            AttemptStatus::Cancelled => Self::Cancelled {
                span: span()?,
                by: match ended_by.ok_or_else(|| lacks("ended_by"))? {
                    EndedBy::Result => CancelledBy::Result(JobEnd { exit_code, error_message, reason }),
                    EndedBy::Release => CancelledBy::Release,
                    EndedBy::Expiry => CancelledBy::Loss(Loss { by: LostBy::Expiry, message: error_message }),
                    EndedBy::ProcessEnd => {
                        CancelledBy::Loss(Loss { by: LostBy::ProcessEnd, message: error_message })
                    }
                },
            },
            AttemptStatus::Expired => {
                let by = match ended_by {
                    Some(EndedBy::Expiry) => LostBy::Expiry,
                    Some(EndedBy::ProcessEnd) => LostBy::ProcessEnd,
                    Some(EndedBy::Result | EndedBy::Release) | None => return Err(lacks("loss in ended_by")),
                };
                Self::Expired { span: span()?, loss: Loss { by, message: error_message } }
            }
            AttemptStatus::Released => Self::Released { span: span()? },
        })
    }
}

/// A lease: to whom, and for how long.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Lease {
    /// It is dead from this moment on, reaped or not.
    pub expires_at: Timestamp,
    /// Its full length as last granted.
    pub ttl: Duration,
    /// The process it was given to, when its poll named one.
    pub instance_id: Option<String>,
    /// The poll it was given to, when it named itself, as long as that poll may be asked again: until the attempt is started, or, where
    /// the poll started it, until the first call under the lease.
    pub request_id: Option<String>,
}

impl Lease {
    /// A fresh one.
    pub fn granted(
        instance_id: Option<String>,
        request_id: Option<String>,
        ttl: Duration,
        now: Timestamp,
    ) -> Self {
        Self { expires_at: now.plus(ttl), ttl, instance_id, request_id }
    }

    /// The lease granted anew: it becomes `ttl` long from now, and never shorter than it was, since the runner may not hear the answer.
    #[must_use]
    pub fn extended(self, ttl: Duration, now: Timestamp) -> Self {
        Self { expires_at: self.expires_at.max(now.plus(ttl)), ttl, ..self }
    }

    /// The lease after a call under it: its answer was heard, so its poll is not asked again.
    #[must_use]
    pub fn heard(self) -> Self {
        Self { request_id: None, ..self }
    }

    /// Whether it has run out.
    pub fn is_over(&self, now: Timestamp) -> bool {
        now >= self.expires_at
    }
}

/// An attempt at a run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Attempt {
    /// Its id.
    pub id: AttemptId,
    /// The run.
    pub run_id: RunId,
    /// 1, 2, 3 … within the run.
    pub number: i64,
    /// Its runner, which may be forgotten since; none if an older server forgot it.
    pub runner_id: Option<RunnerId>,
    /// That runner's name, kept for ever.
    pub runner_name: String,
    /// When the runner got it.
    pub leased_at: Timestamp,
    /// Its lease.
    pub lease: Lease,
    /// Where it stands.
    pub state: AttemptState,
    /// Counts the changes of the row, so that a stale decision is never saved.
    pub row_version: i64,
}

impl Attempt {
    /// The word for where it stands.
    pub const fn status(&self) -> AttemptStatus {
        self.state.status()
    }
}

#[cfg(test)]
mod tests;
