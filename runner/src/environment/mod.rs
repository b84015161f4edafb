//! Python environments: a private one per run, in milliseconds, over a shared one that is prepared once.
//!
//! A run's own environment is a few files that point to the interpreter. What it needs installed lies in a prepared environment below
//! the data directory, which the run may only read: whatever it installs or changes lands in its own, and goes with it.
//!
//! `project` tells which file decides, `interpreters` which Python, `installer` with what. `work` finds or makes the environment, and
//! `install` runs the installer. An environment belongs to a team when only wheels of the operator's indexes are in it, and then no
//! code of strangers has run; anything else belongs to one version of one app. What is editable is part of its run.

mod cache;
mod caches;
mod error;
mod fetch;
pub(crate) mod files;
mod install;
mod installer;
mod interpreter;
pub(crate) mod interpreters;
mod key;
mod lock;
mod project;
mod pyproject;
mod references;
mod requirement;
mod requirements_txt;
mod resolution;
mod script_header;
mod setup;
mod text;
mod tree;
pub(crate) mod variables;
mod venv;
mod work;

use std::io;
use std::path::PathBuf;
use std::time::Duration;

use minitower_client::wire::runner::Lease;
use tokio::sync::Mutex;

use crate::config::{Config, UvSource};
use crate::data_dir::{DataDir, create_private};
use crate::labels::Labels;
use crate::mask::Mask;
use crate::steps::Steps;
use crate::supervisor::Sandbox;
use crate::workspace::Workspace;
use cache::Cache;
use caches::Caches;
pub(crate) use error::EnvironmentError;
use installer::{Installer, Installers};
use interpreter::Interpreter;
use interpreters::{Demands, InterpreterError, Interpreters};
pub(crate) use project::has_dependency_file;
use project::{Needs, What};
use setup::Setup;
use variables::Variables;
use work::Work;

/// A run's environment.
#[derive(Debug)]
pub(crate) struct Prepared {
    /// The interpreter to start.
    pub(crate) python: PathBuf,
    /// Folders to put in front of `PATH`.
    pub(crate) bin: Vec<PathBuf>,
    /// The run's own environment, for `VIRTUAL_ENV`.
    pub(crate) venv: PathBuf,
    /// What the job may read besides: the prepared environment, an interpreter that the runner has fetched.
    pub(crate) readable: Vec<PathBuf>,
    /// A folder of the project that stands in for the installed project.
    pub(crate) import_from: Option<PathBuf>,
}

/// For what an environment is made.
pub(crate) struct Request<'r> {
    /// The run.
    pub(crate) lease: &'r Lease,
    /// Its folders; the archive has been unpacked.
    pub(crate) workspace: &'r Workspace,
    /// Runs the installers.
    pub(crate) steps: &'r Steps,
    /// The Python script to start, if it is one: it may say what it needs.
    pub(crate) script: Option<&'r str>,
    /// The variables of an installer.
    pub(crate) variables: &'r Variables,
    /// What is hidden from it.
    pub(crate) sandbox: &'r Sandbox,
}

/// How long all Pythons together may take to say their versions before the runner registers without.
const VERSIONS_WITHIN: Duration = Duration::from_secs(3);

/// All environments of a runner.
#[derive(Debug)]
pub(crate) struct Environments {
    cache: Cache,
    caches: Caches,
    tools: PathBuf,
    server: String,
    max_age: Duration,
    downloads: bool,
    jobs_see_secrets: bool,
    installs_with_uv: bool,
    interpreters: Mutex<Interpreters>,
    installers: Mutex<Installers>,
}

impl Environments {
    /// Environments below the data directory. `confined`: jobs are kept from prepared environments, their modes included; else
    /// each is checked before it is used again.
    pub(crate) fn new(data_dir: &DataDir, config: &Config, confined: bool) -> Self {
        let own = std::env::vars().filter(|(name, _)| {
            matches!(name.as_str(), "PATH" | "HOME" | "LANG")
                || (config.env_pass.is_match(name) && !name.starts_with("MINITOWER_"))
        });
        let variables = variables::of_installer(&own.collect());
        let (tools, python_bin) = (data_dir.tools(), &config.python_bin);
        let interpreters = Interpreters::new(python_bin, tools.join("python"), variables.clone());
        Self {
            cache: Cache::new(data_dir.environments(), !confined),
            caches: Caches::new(data_dir.cache(), !confined),
            server: config.server_url.clone(),
            max_age: config.env_max_age,
            downloads: config.python_downloads,
            jobs_see_secrets: config.env_pass_explicit,
            installs_with_uv: config.uv != UvSource::Off,
            interpreters: Mutex::new(interpreters),
            installers: Mutex::new(Installers::new(config.uv.clone(), tools.clone(), variables)),
            tools,
        }
    }

    /// What the control plane may know of this machine.
    pub(crate) async fn labels(&self) -> Labels {
        let versions = async { self.interpreters.lock().await.versions().await };
        let versions = tokio::time::timeout(VERSIONS_WITHIN, versions).await.ok();
        Labels::of(versions.as_deref(), self.downloads && self.installs_with_uv)
    }

    /// Asks now what the first run would otherwise wait for.
    pub(crate) async fn get_ready(&self) {
        if let Err(error) = self.interpreters.lock().await.preferred().await {
            // Without Python there may still be shell jobs; a Python job says it in its own log.
            tracing::warn!(%error, "no Python for jobs");
        }
        if let Err(error) = self.installers.lock().await.at_hand().await {
            tracing::warn!(error, "no uv for jobs");
        }
    }

    /// Makes the environment of a run.
    pub(crate) async fn prepare(&self, request: Request<'_>) -> Result<Prepared, EnvironmentError> {
        let venv = request.workspace.venv();
        let (needs, mask) = self.read(&request).await?;
        let setup = Setup::create(request.workspace.root().join("setup"), &needs)
            .map_err(EnvironmentError::files(request.workspace.root()))?;
        let steps = request.steps;
        let interpreter = self.interpreter(&request, &needs, &setup).await?;
        for note in &needs.notes {
            steps.log.note(note.as_str()).await;
        }
        let made = venv::create(&venv, &interpreter).and_then(|()| venv::add_pip(&venv, &interpreter));
        made.map_err(EnvironmentError::own_files(&venv))?;
        let mut prepared = Prepared {
            python: venv.join("bin/python"),
            bin: vec![venv.join("bin")],
            venv: venv.clone(),
            readable: vec![interpreter.prefix.clone()],
            import_from: None,
        };
        prepared.readable.retain(|path| path.starts_with(&self.tools));
        if needs.what != What::Nothing {
            if !self.jobs_see_secrets {
                needs.references.refuse_secrets(request.variables)?;
            }
            let work = Work {
                environments: self,
                request: &request,
                needs: &needs,
                interpreter: &interpreter,
                setup: &setup,
                mask,
            };
            work.provide(&venv, &mut prepared).await.map_err(|error| match error {
                EnvironmentError::Install(reason) => {
                    EnvironmentError::Install(format!("{}: {reason}", needs.decided_by))
                }
                EnvironmentError::Unavailable(reason) => {
                    EnvironmentError::Unavailable(format!("{}: {reason}", needs.decided_by))
                }
                other => other,
            })?;
        }
        let removed = tokio::task::spawn_blocking(move || setup.remove()).await;
        if let Ok(Err(error)) = removed {
            tracing::warn!(%error, "cannot remove the installer's folders; they go with the workspace");
        }
        Ok(prepared)
    }

    /// Reads what the project needs, and what must not come into the log. Its files may be large: that holds up nothing else.
    async fn read(&self, request: &Request<'_>) -> Result<(Needs, Mask), EnvironmentError> {
        let (source, variables) = (request.workspace.source(), request.variables.clone());
        let script = request.script.map(str::to_owned);
        let reading = tokio::task::spawn_blocking(move || {
            let needs = project::decide(&source, script.as_deref())?;
            let mask = Mask::with_project(
                needs.files.values().map(String::as_str),
                variables.values().map(String::as_str),
                variables::secrets(&variables),
            );
            Ok::<_, EnvironmentError>((needs, mask))
        });
        let read = reading.await.map_err(io::Error::other);
        read.map_err(EnvironmentError::files(&request.workspace.source()))?
    }

    /// The Python for a project; fetched, where none here fits and the operator allows it.
    async fn interpreter(
        &self,
        request: &Request<'_>,
        needs: &Needs,
        setup: &Setup,
    ) -> Result<Interpreter, EnvironmentError> {
        let demands = Demands::read(&needs.pythons)?;
        let stopped = EnvironmentError::Stopped;
        let found = {
            let mut interpreters = self.interpreters.lock().await;
            request.steps.unless_stopped(interpreters.find(&demands)).await.map_err(stopped)?
        };
        match found {
            Err(InterpreterError::Unfit { asked, here, .. }) if self.downloads => {
                let unfit =
                    |way_out| InterpreterError::Unfit { asked: asked.clone(), here: here.clone(), way_out };
                let own = self.interpreters.lock().await.preferred().await?;
                let mask = Mask::default();
                let work = Work { environments: self, request, needs, interpreter: &own, setup, mask };
                let Installer::Uv { program, version } = work.installer().await? else {
                    return Err(unfit(
                        "only uv downloads Pythons, and it cannot be had: put it on the runner's PATH",
                    )
                    .into());
                };
                let wanted = demands.joined();
                request
                    .steps
                    .log
                    .note(format!("minitower-runner: downloading a Python that is {wanted}"))
                    .await;
                let target = self.tools.join("python");
                create_private(&target).map_err(EnvironmentError::own_files(&target))?;
                let uv = Installer::Uv { program: program.clone(), version };
                match work.installation(&uv).fetch_python(&program, &wanted, &target).await {
                    Ok(()) => {}
                    Err(EnvironmentError::Install(_)) => {
                        return Err(unfit("none could be downloaded, see the lines above; install such a Python on the runner").into());
                    }
                    Err(other) => return Err(other),
                }
                Ok(self.interpreters.lock().await.find(&demands).await?)
            }
            found => Ok(found?),
        }
    }
}
