//! What the configuration decides.

use std::path::PathBuf;
use std::time::Duration;

use crate::secrets::Secret;

/// Settings of a control plane, checked by whoever reads the configuration.
#[derive(Debug, Clone)]
pub struct Settings {
    /// The database file.
    pub db_path: PathBuf,
    /// The folder of the archives.
    pub objects_dir: PathBuf,
    /// Opens bootstrap; none: that route is not there.
    pub bootstrap_token: Option<Secret>,
    /// Registers platform runners; none: only the tokens of teams register.
    pub registration_token: Option<Secret>,
    /// Opens the admin calls across teams.
    pub operator_token: Option<Secret>,
    /// Whether anyone may sign a team up.
    pub signup_enabled: bool,
    /// Length of a lease.
    pub lease_ttl: Duration,
    /// Longest time between two looks for expired leases.
    pub expiry_check_interval: Duration,
    /// Runners silent for so long are forgotten; none: never.
    pub runner_prune_after: Option<Duration>,
    /// Most bytes of an uploaded archive.
    pub max_artifact_bytes: u64,
}
