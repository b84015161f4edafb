//! Why an action could not be carried out.

use super::CALL;
use crate::demand::ControlPlaneError;
use crate::leader::NotLeader;

/// Why an action could not be carried out.
#[derive(Debug, thiserror::Error)]
pub enum ApplyError {
    /// Another replica leads now.
    #[error(transparent)]
    NotLeader(#[from] NotLeader),
    /// The object has changed since the decision: it is made again.
    #[error("{what} has changed meanwhile")]
    Conflict {
        /// The object.
        what: String,
    },
    /// A Deployment of that name exists and is not this pool's.
    #[error(
        "Deployment {name} exists and does not belong to this pool: remove it, or give the pool another name"
    )]
    NameTaken {
        /// The Deployment.
        name: String,
    },
    /// The API server refused the Deployment.
    #[error("{what}: {message}")]
    Refused {
        /// What was written.
        what: String,
        /// The API server's words.
        message: String,
    },
    /// The API server did not answer in time.
    #[error("{what}: no answer of the API server within {CALL:?}")]
    Timeout {
        /// What was called.
        what: String,
    },
    /// The API server failed.
    #[error("{what}: {source}")]
    Kube {
        /// What was called.
        what: String,
        /// How.
        source: Box<kube::Error>,
    },
    /// The control plane did not fence.
    #[error(transparent)]
    ControlPlane(#[from] ControlPlaneError),
}

impl ApplyError {
    /// Whether it passes by itself at the next look.
    pub fn is_conflict(&self) -> bool {
        matches!(self, Self::Conflict { .. })
    }
}
