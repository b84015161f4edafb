//! Why a pool could not be served.

use super::CALL;
use crate::leader::NotLeader;
use crate::pool_controller::apply::ApplyError;
use crate::pool_controller::build::BuildError;
use crate::pool_controller::pool::PoolError;
use crate::pool_controller::problems::Problem;

/// Why a pool could not be served.
#[derive(Debug, thiserror::Error)]
pub enum ReconcileError {
    /// It is not written so that it can be served.
    #[error(transparent)]
    Pool(#[from] PoolError),
    /// Its template is not one.
    #[error(transparent)]
    Build(#[from] BuildError),
    /// A step of the plan failed.
    #[error(transparent)]
    Apply(#[from] ApplyError),
    /// Another replica leads now.
    #[error(transparent)]
    NotLeader(#[from] NotLeader),
    /// The API server failed.
    #[error("{what}: {source}")]
    Kube {
        /// What was called.
        what: &'static str,
        /// How.
        source: Box<kube::Error>,
    },
    /// The API server did not answer in time.
    #[error("{0}: no answer of the API server within {CALL:?}")]
    Timeout(&'static str),
}

impl ReconcileError {
    /// Which stage failed, as a metric's label.
    pub fn stage(&self) -> &'static str {
        match self {
            Self::Pool(_) => "pool",
            Self::Build(_) => "build",
            Self::Apply(error) if error.is_conflict() => "conflict",
            Self::Apply(_) => "apply",
            Self::NotLeader(_) => "leader",
            Self::Kube { .. } | Self::Timeout(_) => "api",
        }
    }

    /// What a person can do something about.
    pub(super) fn problem(&self) -> Option<Problem> {
        let reason = match self {
            Self::Pool(error) => error.as_reason(),
            Self::Build(_) => "InvalidTemplate",
            Self::Apply(ApplyError::NameTaken { .. }) => "NameTaken",
            Self::Apply(ApplyError::Refused { .. }) => "DeploymentRefused",
            Self::Apply(ApplyError::ControlPlane(_)) => "NotFenced",
            _ => return None,
        };
        Some(Problem::new(reason, self.to_string()))
    }
}
