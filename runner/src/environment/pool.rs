//! All environments of a runner, and what one is made for.

use std::path::PathBuf;
use std::time::Duration;

use minitower_client::wire::runner::Lease;
use tokio::sync::Mutex;

use super::cache::Cache;
use super::caches::Caches;
use super::installer::Installers;
use super::interpreters::Interpreters;
use super::variables::{self, Variables};
use crate::config::{Config, UvSource};
use crate::data_dir::DataDir;
use crate::labels::Labels;
use crate::steps::Steps;
use crate::supervisor::Sandbox;
use crate::workspace::Workspace;

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
    pub(super) cache: Cache,
    pub(super) caches: Caches,
    pub(super) tools: PathBuf,
    pub(super) server: String,
    pub(super) max_age: Duration,
    pub(super) downloads: bool,
    pub(super) jobs_see_secrets: bool,
    pub(super) installs_with_uv: bool,
    pub(super) interpreters: Mutex<Interpreters>,
    pub(super) installers: Mutex<Installers>,
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
            tracing::warn!(%error, "no uv for jobs");
        }
    }
}
