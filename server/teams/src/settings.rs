//! What the configuration decides.

use std::time::Duration;

use std::path::PathBuf;

use crate::oidc::OidcSettings;
use crate::secrets::Secret;

/// Settings of the subject, checked by whoever reads the configuration.
#[derive(Debug, Clone, Default)]
pub struct Settings {
    /// Opens bootstrap; none: that route is not there.
    pub bootstrap_token: Option<Secret>,
    /// Registers platform runners; none: only the tokens of teams register.
    pub registration_token: Option<Secret>,
    /// Opens the admin calls across teams.
    pub operator_token: Option<Secret>,
    /// Whether anyone may sign a team up.
    pub signup_enabled: bool,
    /// How long audit events are kept; none: for ever.
    pub audit_keep: Option<Duration>,
    /// How many events of each team are kept, and how many of the platform; none: all.
    pub audit_keep_most: Option<u32>,
    /// Bytes that a team may store unless the administrator decides otherwise; none: as many as there is room for.
    pub storage_bytes: Option<u64>,
    /// The identity provider that people sign in through; none: those routes are not there.
    pub oidc: Option<OidcSettings>,
    /// The file with the keys of the secrets, made when the first secret is set.
    pub secrets_key_file: PathBuf,
}
