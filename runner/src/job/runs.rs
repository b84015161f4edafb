//! What the runs of a process share.

use std::sync::Arc;

use crate::config::Config;
use crate::data_dir::DataDir;
use crate::environment::Environments;
use crate::health::Health;
use crate::session::Session;
use crate::shared_memory::SharedMemory;
use crate::steps::Stopping;
use crate::supervisor::Confinement;

/// What all runs of this process share. The agent makes it once; a run only borrows it.
pub(crate) struct Runs {
    /// The operator's settings.
    pub(crate) config: Config,
    /// The runner's folder, locked.
    pub(crate) data_dir: Arc<DataDir>,
    /// The runner token, and the client that uses it.
    pub(crate) session: Arc<Session>,
    /// Python environments.
    pub(crate) environments: Environments,
    /// Whether this runner takes runs.
    pub(crate) health: Health,
    /// Whether this runner stops.
    pub(crate) stopping: Stopping,
    /// How the names of this runner's control groups begin.
    pub(crate) cgroup_prefix: String,
    /// What confines jobs on this machine.
    pub(crate) confinement: Confinement,
    /// What runs share where they have no file systems of their own.
    pub(crate) shared_memory: SharedMemory,
}
