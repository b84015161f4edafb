//! The control plane as a program, and as a part of another (`minitower dev`).
//!
//! - [`Config`]: settings from the environment and flags, checked once
//! - [`Server`]: everything wired together and running; its end in two stages
//! - [`telemetry`]: log lines; [`lifecycle`]: signals. Only the program itself uses these two.
//!
//! No rules, no SQL, no endpoints: those are in the crates below.

pub mod backup;
mod config;
mod control_plane;
mod healthcheck;
pub mod lifecycle;
mod memory;
pub mod objects;
mod restore;
mod secrets;
mod server;
pub mod telemetry;

use std::sync::LazyLock;

pub use config::{
    Args, BackupArgs, BackupCommand, BackupSettings, Command, Config, ConfigError, FromArgs, ListenAddr,
    ObjectsCommand, Request, RestoreArgs, SecretsCommand, copy_target, request,
};
pub use control_plane::{ControlPlane, Outside, PlaneError, Settings};
pub use healthcheck::{Unhealthy, healthcheck};
pub use minitower_kernel::outbound::AllowedNets;
pub use minitower_kernel::trust::Trust;
pub use minitower_notifications::Smtp;
pub use minitower_rest::{CorsOrigin, Limits, TrustedProxies};
pub use minitower_teams::oidc::{OidcSettings, Scopes, ServiceUrl};
pub use minitower_teams::people::Mapping;
pub use minitower_teams::secrets::Secret;
pub use restore::{restore, restore_if_missing};
pub use secrets::{SecretsError, secrets};
pub use server::{Failure, Server, StartError};

/// The commit the program was built from; the build says so in `MINITOWER_COMMIT`.
pub const COMMIT: &str = match option_env!("MINITOWER_COMMIT") {
    Some(commit) => commit,
    None => "unknown",
};

/// What `--version` prints behind the program's name.
pub(crate) static VERSION: LazyLock<String> =
    LazyLock::new(|| format!("{} ({COMMIT})", env!("CARGO_PKG_VERSION")));
