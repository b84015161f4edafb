//! Installing into an environment: `uv` where it is on the path, else pip.

use std::path::{Path, PathBuf};
use std::time::Duration;

use super::EnvironmentError;
use super::interpreter::Interpreter;
use super::requirements::Dependencies;
use minitower_client::wire::runs::Stream;

use crate::data_dir::create_private;
use crate::job::variables::Variables;
use crate::steps::{Step, StepEnd, Steps};
use crate::supervisor::{Ending, Sandbox};

/// How long installing may take.
const LIMIT: Duration = Duration::from_secs(15 * 60);

/// A program that installs Python packages.
#[derive(Debug)]
pub(super) enum Installer {
    /// uv, with its cache.
    Uv { program: PathBuf, cache: PathBuf },
    /// The interpreter's own pip, or one brought in for the purpose. Without a cache: what an installation builds
    /// must not be what the next one gets.
    Pip,
}

/// Where and for whom to install.
pub(super) struct Job<'j> {
    /// The environment, which exists.
    pub(super) target: PathBuf,
    /// The project.
    pub(super) source: &'j Path,
    /// Runs the programs.
    pub(super) steps: &'j Steps,
    /// Their environment.
    pub(super) variables: &'j Variables,
    /// What they may read and write besides `target`.
    pub(super) sandbox: &'j Sandbox,
}

impl Installer {
    /// Looks for uv on `path`.
    pub(super) fn find(path: &str, cache: &Path) -> Self {
        let uv =
            std::env::split_paths(path).map(|folder| folder.join("uv")).find(|program| program.is_file());
        match uv {
            Some(program) => Self::Uv { program, cache: cache.join("uv") },
            None => Self::Pip,
        }
    }

    /// Part of the environment's key.
    pub(super) fn name(&self) -> &'static str {
        match self {
            Self::Uv { .. } => "uv",
            Self::Pip => "pip",
        }
    }

    /// Whether it understands `uv.lock`.
    pub(super) fn reads_uv_lock(&self) -> bool {
        matches!(self, Self::Uv { .. })
    }

    /// Installs what is wanted into the job's target.
    pub(super) async fn install(
        &self,
        interpreter: &Interpreter,
        wanted: &Dependencies,
        job: Job<'_>,
    ) -> Result<(), EnvironmentError> {
        let what = match wanted {
            Dependencies::None => return Ok(()),
            Dependencies::File { .. } => vec!["-r".to_owned(), "requirements.txt".to_owned()],
            // `--` keeps a requirement from being read as an option.
            Dependencies::List { requirements } => {
                std::iter::once("--".to_owned()).chain(requirements.iter().cloned()).collect()
            }
            Dependencies::UvLock { .. } => Vec::new(),
        };
        job.steps.log.note(format!("minitower-runner: installing dependencies with {}", self.name())).await;
        match self {
            Self::Uv { program, cache } => job.uv(program, cache, interpreter, wanted, what).await,
            Self::Pip => job.pip(interpreter, what).await,
        }
    }
}

impl Job<'_> {
    async fn uv(
        &self,
        program: &Path,
        cache: &Path,
        interpreter: &Interpreter,
        wanted: &Dependencies,
        what: Vec<String>,
    ) -> Result<(), EnvironmentError> {
        create_private(cache).map_err(EnvironmentError::files(cache))?;
        let mut variables = self.variables.clone();
        for (name, value) in [
            ("UV_CACHE_DIR", text(cache)),
            // A link would make the environment and the cache one file.
            ("UV_LINK_MODE", "copy".to_owned()),
            // The environment will be read-only: what is not compiled now never will be.
            ("UV_COMPILE_BYTECODE", "1".to_owned()),
            ("UV_PYTHON_DOWNLOADS", "never".to_owned()),
            ("UV_NO_PROGRESS", "1".to_owned()),
            ("UV_PROJECT_ENVIRONMENT", text(&self.target)),
        ] {
            variables.insert(name.to_owned(), value);
        }
        let mut arguments: Vec<String> = if matches!(wanted, Dependencies::UvLock { .. }) {
            ["sync", "--frozen", "--no-dev", "--no-install-project", "--python"].map(str::to_owned).into()
        } else {
            ["pip", "install", "--python"].map(str::to_owned).into()
        };
        if matches!(wanted, Dependencies::UvLock { .. }) {
            arguments.push(text(&interpreter.executable));
        } else {
            arguments.push(text(&self.python()));
        }
        arguments.extend(what);
        self.run(program.to_owned(), arguments, variables, Some(cache)).await
    }

    async fn pip(&self, interpreter: &Interpreter, what: Vec<String>) -> Result<(), EnvironmentError> {
        let (program, mut arguments) = if interpreter.pip_reaches_others() {
            let pip = ["-m".to_owned(), "pip".to_owned(), "--python".to_owned(), text(&self.python())];
            (interpreter.executable.clone(), Vec::from(pip))
        } else if interpreter.ensurepip {
            let ensure = ["-m", "ensurepip", "--default-pip"].map(str::to_owned).into();
            self.run(self.python(), ensure, self.variables.clone(), None).await?;
            (self.python(), vec!["-m".to_owned(), "pip".to_owned()])
        } else {
            let reason = format!(
                "{} has neither pip nor ensurepip; install uv, pip or python3-venv on the runner",
                interpreter.executable.display()
            );
            return Err(EnvironmentError::Install(reason));
        };
        arguments.extend(
            ["install", "--no-input", "--no-cache-dir", "--progress-bar=off", "--disable-pip-version-check"]
                .map(str::to_owned),
        );
        arguments.extend(["--no-warn-script-location", "--root-user-action=ignore"].map(str::to_owned));
        arguments.extend(what);
        self.run(program, arguments, self.variables.clone(), None).await
    }

    fn python(&self) -> PathBuf {
        self.target.join("bin/python")
    }

    async fn run(
        &self,
        program: PathBuf,
        arguments: Vec<String>,
        variables: Variables,
        cache: Option<&Path>,
    ) -> Result<(), EnvironmentError> {
        let mut sandbox = self.sandbox.clone();
        sandbox.writable.push(self.target.clone());
        sandbox.writable.extend(cache.map(Path::to_owned));
        let step = Step {
            program,
            arguments,
            environment: variables.into_iter().collect(),
            directory: self.source.to_owned(),
            sandbox,
            out: Stream::Stderr,
            limit: LIMIT,
        };
        match self.steps.run(step).await? {
            StepEnd::Ended(ended) => match ended.ending {
                Ending::Code(0) => Ok(()),
                Ending::Code(code) => Err(EnvironmentError::Install(format!(
                    "the installer exited with code {code}; see its lines above"
                ))),
                Ending::Signal(signal) => {
                    Err(EnvironmentError::Install(format!("signal {signal} ended the installer")))
                }
            },
            StepEnd::TimedOut => Err(EnvironmentError::Install(format!(
                "it took longer than {} minutes",
                LIMIT.as_secs() / 60
            ))),
            StepEnd::Stopped(stop) => Err(EnvironmentError::Stopped(stop)),
        }
    }
}

fn text(path: &Path) -> String {
    path.to_string_lossy().into_owned()
}
