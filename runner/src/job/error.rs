//! Why a run's program did not run.

use std::env::JoinPathsError;
use std::io;

use minitower_client::Error;
use minitower_daemon::errors::chain;
use minitower_towerfile::ArchiveError;
use tokio::task::JoinError;

use super::entry::{EntrypointError, PathFault};
use super::runner_secrets::RunnerSecretError;
use super::variables::{DeclaredError, SecretError};
use crate::environment::EnvironmentError;
use crate::fault::OwnFault;
use crate::mask::Mask;
use crate::steps::Stop;
use crate::supervisor::SupervisorError;

/// Why the job's program did not run, or did not run to an end.
#[derive(Debug, thiserror::Error)]
pub(super) enum SetupError {
    /// The run has to stop.
    #[error("stopped")]
    Stopped(Stop),
    /// A step failed, and would fail on any runner like this one.
    #[error(transparent)]
    Failed(#[from] Failure),
    /// The runner cannot carry it out, whatever run it is.
    #[error(transparent)]
    Own(#[from] OwnFault),
    /// The same, because its disk is full.
    #[error("{failed}")]
    Full {
        /// What failed, and why.
        failed: String,
    },
    /// A supervisor was lost, or could not do its work: nothing that the job could have done otherwise.
    #[error(transparent)]
    Supervisor(SupervisorError),
}

/// Why a run cannot be set up.
#[derive(Debug, thiserror::Error)]
pub(super) enum Failure {
    /// What was downloaded is not what was uploaded.
    #[error("the checksum of the artifact is wrong: it should be {expected}, the download has {found}")]
    Checksum {
        /// By the server.
        expected: String,
        /// Of the bytes that came.
        found: String,
    },
    /// The archive cannot be had.
    #[error("cannot download the artifact")]
    Download(#[source] Error),
    /// The archive is larger than a runner takes.
    #[error("cannot download the artifact: it is larger than {limit} bytes")]
    TooLarge {
        /// In bytes.
        limit: u64,
    },
    /// The archive cannot be unpacked.
    #[error("cannot unpack the artifact")]
    Unpack(#[source] ArchiveError),
    /// The input cannot be written as JSON.
    #[error("cannot write the input as JSON")]
    Input(#[source] serde_json::Error),
    /// There is nothing to start.
    #[error("entrypoint `{entrypoint}`")]
    Entrypoint {
        /// As the version names it.
        entrypoint: String,
        /// Why not.
        source: EntrypointError,
    },
    /// A folder to import from cannot be used.
    #[error("import path `{path}`")]
    ImportPath {
        /// As the version names it.
        path: String,
        /// Why not.
        source: PathFault,
    },
    /// Folders cannot be joined to a list.
    #[error("the folders of {variable}")]
    Folders {
        /// The variable that the list is for.
        variable: &'static str,
        /// Why not.
        source: JoinPathsError,
    },
    /// A variable of the Towerfile cannot be set.
    #[error(transparent)]
    Declared(#[from] DeclaredError),
    /// The runner's own secrets cannot be had.
    #[error(transparent)]
    RunnerSecret(#[from] RunnerSecretError),
    /// A secret is missing, or cannot be set.
    #[error(transparent)]
    Secret(#[from] SecretError),
    /// The server is older than the API for jobs.
    #[error(
        "the Towerfile says `api = true`, but the control plane gave no token for the API: it is too old; update minitowerd, \
         or remove the line"
    )]
    NoApiToken,
    /// What the project needs cannot be installed.
    #[error("{}", mask.apply(&chain(error)))]
    Environment {
        /// Why not. Its own text may hold what is masked.
        error: EnvironmentError,
        /// Keeps the passwords in the installers' variables out of the text.
        mask: Mask,
    },
    /// The job's program cannot be started.
    #[error(transparent)]
    Program(SupervisorError),
    /// The run itself fills the disk.
    #[error(
        "{failed}: the run's project and its dependencies do not fit on this runner's disk: they took {bytes} bytes and {files} \
         files of the {free} bytes that were free; leave files out with .towerignore, or give the runner's MINITOWER_DATA_DIR a \
         larger disk"
    )]
    DoesNotFit {
        /// What failed, and why.
        failed: String,
        /// Bytes that it took.
        bytes: u64,
        /// Files that it took.
        files: u64,
        /// Bytes that were free before.
        free: u64,
    },
    /// A step of the runner's own failed.
    #[error("the runner failed during the setup; please report this")]
    Died(#[source] JoinError),
}

impl SetupError {
    /// The run's entrypoint cannot be started.
    pub(super) fn entrypoint(entrypoint: &str) -> impl Fn(EntrypointError) -> Self + use<> {
        let entrypoint = entrypoint.to_owned();
        move |source| Failure::Entrypoint { entrypoint: entrypoint.clone(), source }.into()
    }

    /// The same for what is wrong with a file of the runner's own.
    pub(super) fn own(action: &'static str) -> impl FnOnce(io::Error) -> Self {
        move |source| OwnFault::new(action, source).into()
    }
}

impl From<SupervisorError> for SetupError {
    fn from(error: SupervisorError) -> Self {
        match error {
            SupervisorError::Start(source) => OwnFault::new("start the job's supervisor", source).into(),
            SupervisorError::Program(_) => Failure::Program(error).into(),
            _ => Self::Supervisor(error),
        }
    }
}

impl From<Stop> for SetupError {
    fn from(stop: Stop) -> Self {
        Self::Stopped(stop)
    }
}
