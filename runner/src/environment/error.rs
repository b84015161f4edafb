//! Why there is no environment for a run.

use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::files::FileError;
use super::installer::UvError;
use super::interpreter::ProgramError;
use super::interpreters::InterpreterError;
use crate::steps::Stop;
use crate::supervisor::SupervisorError;

/// Why there is no environment for a run.
#[derive(Debug, thiserror::Error)]
pub(crate) enum EnvironmentError {
    /// The run has to stop.
    #[error("stopped")]
    Stopped(Stop),
    /// No Python can be used.
    #[error(transparent)]
    Interpreter(#[from] InterpreterError),
    /// A file that decides the dependencies cannot be used.
    #[error(transparent)]
    File(#[from] FileError),
    /// The lock is not of this project.
    #[error("uv.lock does not match pyproject.toml; run `uv lock` and deploy again")]
    StaleLock,
    /// Only uv understands something, and there is none.
    #[error(
        "only uv understands {what}, and the runner has no uv; put uv on its PATH, or list the dependencies in requirements.txt alone"
    )]
    OnlyUv {
        /// A file or setting.
        what: String,
    },
    /// The installer failed; its own words are in the log above.
    #[error("installing the dependencies failed: {0}")]
    Install(#[from] InstallError),
    /// The same, for a reason that no other way of installing would mend.
    #[error("installing the dependencies failed: {0}")]
    Unavailable(InstallError),
    /// The supervisor failed.
    #[error(transparent)]
    Supervisor(#[from] SupervisorError),
    /// A file of the environment cannot be written.
    #[error("cannot prepare the Python environment: {path}")]
    Files {
        /// The file or folder.
        path: String,
        /// Why.
        source: io::Error,
    },
    /// The same of a file or folder that is the runner's alone: no project brought it.
    #[error("cannot prepare the Python environment: {path}")]
    OwnFiles {
        /// The file or folder.
        path: String,
        /// Why.
        source: io::Error,
    },
}

/// Why the dependencies were not installed.
#[derive(Debug, thiserror::Error)]
pub(crate) enum InstallError {
    /// The installer failed.
    #[error("the installer exited with code {0}; see its lines above")]
    Code(i32),
    /// A signal ended it.
    #[error("signal {0} ended the installer")]
    Signal(i32),
    /// It had its time.
    #[error("it took longer than {} minutes", .0.as_secs() / 60)]
    TimedOut(Duration),
    /// This Python cannot install anything.
    #[error("{} has neither pip nor ensurepip; install uv, pip or python3-venv on the runner", .0.display())]
    NoPip(PathBuf),
    /// uv is not here, and neither is what could fetch it.
    #[error("there is no pip to fetch it with")]
    NoFetcher,
    /// The uv that was asked for cannot be used.
    #[error(transparent)]
    Uv(#[from] UvError),
    /// The uv that was fetched cannot be used.
    #[error(transparent)]
    Fetched(#[from] ProgramError),
    /// Any of these, for what a file asks for.
    #[error("{decided_by}: {source}")]
    Of {
        /// The file.
        decided_by: String,
        /// Why.
        source: Box<InstallError>,
    },
}

impl InstallError {
    /// The same, with the file that decided what to install.
    pub(super) fn of(self, decided_by: &impl ToString) -> Self {
        Self::Of { decided_by: decided_by.to_string(), source: Box::new(self) }
    }
}

impl EnvironmentError {
    /// The error for what is wrong at `path`.
    pub(super) fn files(path: &Path) -> impl FnOnce(io::Error) -> Self + use<> {
        let path = path.display().to_string();
        move |source| Self::Files { path, source }
    }

    /// The error for what is wrong at `path`, which is the runner's alone.
    pub(super) fn own_files(path: &Path) -> impl FnOnce(io::Error) -> Self + use<> {
        let path = path.display().to_string();
        move |source| Self::OwnFiles { path, source }
    }
}
