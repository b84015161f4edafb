//! Python environments: a private one per run, in milliseconds, over a shared one that is prepared once.
//!
//! A run's own environment is a few files that point to the interpreter. What it needs installed lies in a prepared
//! environment below the data directory, which the run may only read: whatever it installs or changes lands in its
//! own, and goes with it. Requirements that name files of the project itself are installed into the run's own
//! environment, since the same text could mean something else in the next run.

mod cache;
mod install;
mod interpreter;
mod requirements;
mod venv;

use std::io;
use std::path::{Path, PathBuf};

use tokio::sync::Mutex;

use crate::data_dir::DataDir;
use crate::job::variables::Variables;
use crate::steps::{Steps, Stop};
use crate::supervisor::{Sandbox, SupervisorError};
use crate::workspace::Workspace;
use cache::Cache;
use install::Installer;
use interpreter::Interpreter;
use requirements::{Dependencies, RequirementsError};

/// Why there is no environment for a run.
#[derive(Debug, thiserror::Error)]
pub(crate) enum EnvironmentError {
    /// The run has to stop.
    #[error("stopped")]
    Stopped(Stop),
    /// The interpreter cannot be used.
    #[error("{python}: {reason}; set MINITOWER_PYTHON_BIN of the runner to a Python 3.8 or newer")]
    Interpreter {
        /// As configured.
        python: String,
        /// What is wrong with it.
        reason: String,
    },
    /// The project's list of dependencies cannot be used.
    #[error(transparent)]
    Requirements(#[from] RequirementsError),
    /// The installer failed; its own words are in the log above.
    #[error("installing the dependencies failed: {0}")]
    Install(String),
    /// The supervisor failed.
    #[error(transparent)]
    Supervisor(#[from] SupervisorError),
    /// A file of the environment cannot be written.
    #[error("cannot prepare the Python environment: {path}: {source}")]
    Files {
        /// The file or folder.
        path: String,
        /// Why.
        source: io::Error,
    },
}

impl EnvironmentError {
    fn files(path: &Path) -> impl FnOnce(io::Error) -> Self {
        let path = path.display().to_string();
        move |source| Self::Files { path, source }
    }
}

/// A run's environment.
#[derive(Debug)]
pub(crate) struct Prepared {
    /// The interpreter to start.
    pub(crate) python: PathBuf,
    /// Folders to put in front of `PATH`.
    pub(crate) bin: Vec<PathBuf>,
    /// The run's own environment, for `VIRTUAL_ENV`.
    pub(crate) venv: PathBuf,
    /// The prepared environment below it, which the job may read.
    pub(crate) shared: Option<PathBuf>,
}

/// All environments of a runner.
#[derive(Debug)]
pub(crate) struct Environments {
    cache: Cache,
    installer_cache: PathBuf,
    python: String,
    interpreter: Mutex<Option<Interpreter>>,
}

impl Environments {
    /// Environments below the data directory, made with the interpreter `python`. `confined`: jobs are kept from
    /// writing into prepared environments; else each is checked before it is used again.
    pub(crate) fn new(data_dir: &DataDir, python: &str, confined: bool) -> Self {
        Self {
            cache: Cache::new(data_dir.environments(), !confined),
            installer_cache: data_dir.cache(),
            python: python.to_owned(),
            interpreter: Mutex::new(None),
        }
    }

    /// Asks the interpreter now what the first run would otherwise wait for.
    pub(crate) async fn get_ready(&self) {
        if let Err(error) = self.interpreter().await {
            // Without Python there may still be shell jobs; a Python job says it in its own log.
            tracing::warn!(%error, "no Python for jobs");
        }
    }

    /// Makes the environment of a run whose archive has been unpacked. `variables` are those of its programs,
    /// `sandbox` what they may read and write besides the environment being prepared.
    pub(crate) async fn prepare(
        &self,
        workspace: &Workspace,
        steps: &Steps,
        variables: &Variables,
        sandbox: &Sandbox,
    ) -> Result<Prepared, EnvironmentError> {
        let interpreter =
            steps.unless_stopped(self.interpreter()).await.map_err(EnvironmentError::Stopped)??;
        let path = variables.get("PATH").map(String::as_str).unwrap_or_default();
        let installer = Installer::find(path, &self.installer_cache);
        let source = workspace.source();
        let dependencies = requirements::read(&source, installer.reads_uv_lock())?;
        for note in &dependencies.notes {
            steps.log.note(note.as_str()).await;
        }
        let venv = workspace.venv();
        let mut prepared = Prepared {
            python: venv.join("bin/python"),
            bin: vec![venv.join("bin")],
            venv: venv.clone(),
            shared: None,
        };
        let make = |target: PathBuf| install::Job { target, source: &source, steps, variables, sandbox };
        match &dependencies.what {
            Dependencies::None => bare(&interpreter, &venv, None)?,
            wanted if dependencies.local => {
                bare(&interpreter, &venv, None)?;
                installer.install(&interpreter, wanted, make(venv)).await?;
            }
            wanted => {
                let key = cache::key(&interpreter, installer.name(), wanted, variables);
                let target = self.cache.place(&key);
                // First, and the installer's code finds no place to put a link that this would be written through.
                bare(&interpreter, &venv, Some(&target))?;
                if !self.cache.is_ready(&key).await {
                    self.cache.clear(&key).await.map_err(EnvironmentError::files(&target))?;
                    bare(&interpreter, &target, None)?;
                    installer.install(&interpreter, wanted, make(target.clone())).await?;
                    self.cache.seal(&key).await.map_err(EnvironmentError::files(&target))?;
                }
                self.cache.touch(&key);
                prepared.bin.push(target.join("bin"));
                prepared.shared = Some(target);
            }
        }
        Ok(prepared)
    }

    /// The interpreter, asked once and again when it changes on disk.
    async fn interpreter(&self) -> Result<Interpreter, EnvironmentError> {
        let mut known = self.interpreter.lock().await;
        if let Some(interpreter) = &*known
            && interpreter.is_unchanged()
        {
            return Ok(interpreter.clone());
        }
        let interpreter = Interpreter::ask(&self.python).await?;
        tracing::debug!(python = %interpreter.executable.display(), version = interpreter.version, "interpreter");
        Ok(known.insert(interpreter).clone())
    }
}

fn bare(interpreter: &Interpreter, venv: &Path, shared: Option<&Path>) -> Result<(), EnvironmentError> {
    venv::create(venv, interpreter, shared).map_err(EnvironmentError::files(venv))
}
