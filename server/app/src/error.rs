//! Why a use case says no. One variant per word of the contract; the message is for people.

use std::path::PathBuf;
use std::time::Duration;

use minitower_domain::artifact::{PathError, TooMuch};
use minitower_domain::lease::Refusal;
use minitower_domain::names::NameError;
use minitower_store::{OpenError, StoreError};

/// A use case was refused or failed.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The request cannot be understood or breaks a rule.
    #[error("{0}")]
    InvalidRequest(String),
    /// A slug breaks the rule or is reserved.
    #[error("{0}")]
    InvalidSlug(String),
    /// The app has no version to run.
    #[error("{0}")]
    NoVersion(String),
    /// An upload without entrypoint has no Towerfile.
    #[error("{0}")]
    TowerfileMissing(String),
    /// The Towerfile of an upload is wrong.
    #[error("{0}")]
    TowerfileInvalid(String),
    /// The uploaded archive is refused.
    #[error("{0}")]
    ArtifactInvalid(String),
    /// No credential, an unknown one, or one of the wrong kind.
    #[error("{0}")]
    Unauthorized(String),
    /// The credential may not do this.
    #[error("{0}")]
    Forbidden(String),
    /// No such thing, or another team's.
    #[error("{0}")]
    NotFound(String),
    /// The thing is in a state that does not allow this.
    #[error("{0}")]
    Conflict(String),
    /// The slug is taken.
    #[error("{0}")]
    SlugTaken(String),
    /// The platform was bootstrapped with another team.
    #[error("{0}")]
    TeamExists(String),
    /// The lease is stale, foreign or has run out.
    #[error("{0}")]
    Gone(String),
    /// The upload is over its limit.
    #[error("{0}")]
    PayloadTooLarge(String),
    /// Too many failed logins.
    #[error("too many failed logins: try again in {} s", retry_after.as_secs())]
    RateLimited {
        /// When to try again.
        retry_after: Duration,
    },
    /// Nothing was changed; the same may work later.
    #[error("{0}")]
    Unavailable(String),
    /// Our fault; the details are in the log, not in the answer.
    #[error("internal error")]
    Internal(String),
}

impl Error {
    pub(crate) fn invalid(message: impl Into<String>) -> Self {
        Self::InvalidRequest(message.into())
    }

    pub(crate) fn not_found(message: impl Into<String>) -> Self {
        Self::NotFound(message.into())
    }

    pub(crate) fn gone() -> Self {
        Refusal::Gone.into()
    }

    /// A failure of the machine or of the program: logged whole, answered without details.
    pub(crate) fn internal(context: &str, cause: impl std::fmt::Display) -> Self {
        tracing::error!(%cause, "{context}");
        Self::Internal(format!("{context}: {cause}"))
    }
}

impl From<StoreError> for Error {
    fn from(error: StoreError) -> Self {
        match error {
            StoreError::Unavailable(reason) => Self::Unavailable(format!(
                "the database is not available ({reason}): nothing was changed, try again"
            )),
            other => Self::internal("database", other),
        }
    }
}

impl From<Refusal> for Error {
    fn from(refusal: Refusal) -> Self {
        match refusal {
            Refusal::Gone => Self::Gone(refusal.to_string()),
            Refusal::OtherResult | Refusal::Cancelling | Refusal::OtherInstance | Refusal::NotDue => {
                Self::Conflict(refusal.to_string())
            }
        }
    }
}

impl From<PathError> for Error {
    fn from(error: PathError) -> Self {
        Self::InvalidRequest(error.to_string())
    }
}

impl From<TooMuch> for Error {
    fn from(error: TooMuch) -> Self {
        Self::Conflict(error.to_string())
    }
}

impl From<NameError> for Error {
    fn from(error: NameError) -> Self {
        match error {
            NameError::Slug(_) | NameError::ReservedSlug(_) => Self::InvalidSlug(error.to_string()),
            NameError::Environment(_) | NameError::Runner(_) => Self::InvalidRequest(error.to_string()),
        }
    }
}

/// The control plane cannot start; one line that names the thing, the reason and the way out.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The database cannot be opened.
    #[error(transparent)]
    Database(#[from] OpenError),
    /// The object store cannot be opened.
    #[error("cannot use the objects folder {path}: {source}")]
    Objects {
        /// The folder.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// Something that has to be read or put right at start cannot be.
    #[error("cannot start: {0}")]
    Other(String),
}

impl From<Error> for StartError {
    fn from(error: Error) -> Self {
        Self::Other(match error {
            Error::Internal(details) => details,
            other => other.to_string(),
        })
    }
}

impl From<prometheus::Error> for StartError {
    fn from(error: prometheus::Error) -> Self {
        Self::Other(error.to_string())
    }
}
