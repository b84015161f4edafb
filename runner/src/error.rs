//! What ends the agent.

use std::io;
use std::path::PathBuf;

/// Why the agent cannot go on. Its text is one line: the thing, the reason, the way out.
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
    /// The runner's folder cannot be used.
    #[error("{}: {source}; is MINITOWER_DATA_DIR writable?", path.display())]
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
    #[error("the control plane does not register this runner: {0}{way}", way = way_to_register(.0))]
    Refused(#[source] minitower_client::Error),
    /// Jobs could not be confined as they have to be here.
    #[error(
        "jobs cannot be confined here: this machine lacks {lacks}; run the runner where it has, or, where all jobs may be trusted with \
         everything the runner's user can do, set MINITOWER_SANDBOX=best-effort"
    )]
    Unconfined {
        /// What is missing.
        lacks: &'static str,
    },
    /// A part of the agent died.
    #[error("the runner's own fault, please report it: {0}")]
    Internal(String),
}

/// What to do about a refused registration; the rest is in the server's own words.
fn way_to_register(refusal: &minitower_client::Error) -> &'static str {
    match refusal.status() {
        Some(401 | 403) => {
            "; MINITOWER_RUNNER_REGISTRATION_TOKEN (or the file that MINITOWER_RUNNER_REGISTRATION_TOKEN_FILE names) must hold \
             the platform's registration token or a team's"
        }
        _ => "",
    }
}
