//! Why a run's program did not run.

use crate::fault::OwnFault;
use crate::steps::Stop;
use crate::supervisor::SupervisorError;

/// Why the job's program did not run, or did not run to an end.
#[derive(Debug, thiserror::Error)]
pub(super) enum SetupError {
    /// The run has to stop.
    #[error("stopped")]
    Stopped(Stop),
    /// A step failed; the text says which and why.
    #[error("{0}")]
    Failed(String),
    /// The runner cannot carry it out, whatever run it is.
    #[error(transparent)]
    Own(#[from] OwnFault),
    /// The same, for its disk is full; the text says what failed.
    #[error("{0}")]
    Full(String),
    /// A supervisor was lost, or could not do its work: nothing that the job could have done otherwise.
    #[error(transparent)]
    Supervisor(SupervisorError),
}

impl From<SupervisorError> for SetupError {
    fn from(error: SupervisorError) -> Self {
        match error {
            SupervisorError::Start(source) => OwnFault::new("start the job's supervisor", source).into(),
            SupervisorError::Program(_) => Self::Failed(error.to_string()),
            _ => Self::Supervisor(error),
        }
    }
}

impl From<Stop> for SetupError {
    fn from(stop: Stop) -> Self {
        Self::Stopped(stop)
    }
}
