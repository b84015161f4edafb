//! What ends the agent.

use std::io;
use std::path::PathBuf;

use tokio::task::JoinError;

/// Why the agent cannot go on. With its sources it is one line; [`RunnerError::way_out`] follows that.
#[derive(Debug, thiserror::Error)]
pub enum RunnerError {
    /// The HTTP client cannot be set up, for a wrong URL or CA file.
    #[error(transparent)]
    Client(#[from] minitower_client::Error),
    /// Another process works in this runner's folder.
    #[error("{}: another runner of this name is running here; stop it, or use another MINITOWER_RUNNER_NAME or MINITOWER_DATA_DIR", path.display())]
    Locked {
        /// The runner's folder.
        path: PathBuf,
    },
    /// A control plane keeps its data where the runner's folder would be.
    #[error("{} holds the data of a control plane; use another MINITOWER_RUNNER_NAME or MINITOWER_DATA_DIR", path.display())]
    ControlPlanes {
        /// The folder.
        path: PathBuf,
    },
    /// The runner's folder cannot be used.
    #[error("cannot use {} (is MINITOWER_DATA_DIR writable?)", path.display())]
    DataDir {
        /// The file or folder.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// There is no runner token and none can be got.
    #[error(
        "this runner is not registered: set MINITOWER_RUNNER_REGISTRATION_TOKEN (or MINITOWER_RUNNER_REGISTRATION_TOKEN_FILE)"
    )]
    NoRegistrationToken,
    /// The control plane refuses to register this runner.
    #[error("the control plane refuses to register this runner")]
    Refused(#[source] minitower_client::Error),
    /// Jobs could not be confined as they have to be here.
    #[error(
        "jobs cannot be confined here: this machine lacks {lacks}; run the runner on a machine that has it, or, if you trust all jobs \
         with everything the runner's user can do, set MINITOWER_SANDBOX=best-effort"
    )]
    Unconfined {
        /// What is missing.
        lacks: &'static str,
    },
    /// The machine does not let the runner do what it has to.
    #[error("cannot {action}; this is the runner's own fault, please report it")]
    System {
        /// What it wanted to do.
        action: &'static str,
        /// Why not.
        source: io::Error,
    },
    /// A part of the agent failed.
    #[error("a part of the runner failed; please report this")]
    Died(#[from] JoinError),
}

impl RunnerError {
    /// The error for what the machine does not allow; `action` completes "cannot …".
    pub(crate) fn system<E: Into<io::Error>>(action: &'static str) -> impl FnOnce(E) -> Self {
        move |source| Self::System { action, source: source.into() }
    }

    /// What to do about it, where the error itself does not say. The rest is in the server's own words.
    pub fn way_out(&self) -> Option<&'static str> {
        match self {
            Self::Refused(refusal) if matches!(refusal.status(), Some(401 | 403)) => Some(
                "MINITOWER_RUNNER_REGISTRATION_TOKEN (or the file that MINITOWER_RUNNER_REGISTRATION_TOKEN_FILE names) must hold \
                 the platform's registration token, its team's or its pool's",
            ),
            Self::Refused(refusal) if refusal.status() == Some(409) => Some(
                "set another MINITOWER_RUNNER_NAME; or, if the other runner is gone for good, have whoever it belongs to forget it \
                 (`DELETE /api/v1/admin/runners/NAME`), and start this one again",
            ),
            _ => None,
        }
    }
}
