//! What the configuration decides.

use std::path::PathBuf;
use std::time::Duration;

use minitower_kernel::objects::Location;

use crate::Retention;

/// Settings of the subject, checked by whoever reads the configuration.
#[derive(Debug, Clone)]
pub struct Settings {
    /// The folder of the objects, and of uploads in progress.
    pub objects_dir: PathBuf,
    /// The bucket of the objects; none: they lie in the folder.
    pub objects_url: Option<Location>,
    /// Length of a lease.
    pub lease_ttl: Duration,
    /// Longest time between two looks for expired leases.
    pub expiry_check_interval: Duration,
    /// Runners silent for so long are forgotten; none: never.
    pub runner_prune_after: Option<Duration>,
    /// How long runs are kept that have ended.
    pub retention: Retention,
    /// Most bytes of an uploaded archive.
    pub max_artifact_bytes: u64,
}
