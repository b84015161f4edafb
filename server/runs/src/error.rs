//! Why a use case says no. One variant per word of the contract; the message is for people.

use std::path::PathBuf;

use minitower_kernel::objects::ObjectError;
use minitower_kernel::{OpenError, StoreError};
use minitower_vocabulary::names::NameError;

use crate::domain::artifact::{PathError, TooMuch};
use crate::domain::lease::Refusal;

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
    /// The lease is stale, foreign or has run out.
    #[error("{0}")]
    Gone(String),
    /// The upload is over its limit.
    #[error("{0}")]
    PayloadTooLarge(String),
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

    /// A unique name that is taken becomes the error that says so; anything else stays what it is.
    pub(crate) fn taken(error: StoreError, say: impl FnOnce() -> Self) -> Self {
        match error {
            StoreError::Taken => say(),
            other => other.into(),
        }
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

impl From<ObjectError> for Error {
    fn from(error: ObjectError) -> Self {
        match error {
            ObjectError::Full(_) => Self::Unavailable(error.to_string()),
            ObjectError::TooLong { .. } => Self::PayloadTooLarge(error.to_string()),
            ObjectError::Missing { .. } | ObjectError::Damaged { .. } => Self::NotFound(error.to_string()),
            ObjectError::Io { .. } => {
                let error: &(dyn std::error::Error + 'static) = &error;
                tracing::error!(error, "the object store failed");
                Self::Internal("the object store failed".to_owned())
            }
        }
    }
}

impl From<minitower_teams::Error> for Error {
    fn from(error: minitower_teams::Error) -> Self {
        match error {
            minitower_teams::Error::Store(error) => error.into(),
            minitower_teams::Error::Unauthorized => Self::Unauthorized(error.to_string()),
            minitower_teams::Error::RunToken | minitower_teams::Error::NotAdmin => {
                Self::Forbidden(error.to_string())
            }
            minitower_teams::Error::NoRegistrationToken(_) => Self::NotFound(error.to_string()),
            other => Self::internal("teams", other),
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
