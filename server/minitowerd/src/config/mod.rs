//! The program's configuration: environment variables and flags, checked once; the rest of the program sees only
//! values that hold.

mod args;
mod backup;
mod listen;
mod objects;
mod oidc;
mod outside;
mod parse;

use std::path::{Path, PathBuf};
use std::time::Duration;

use minitower_kernel::objects::Location;
use minitower_kernel::outbound::AllowedNets;
use minitower_kernel::trust::Trust;
use minitower_notifications::Smtp;
use minitower_runs::Retention;
use minitower_teams::oidc::OidcSettings;
use minitower_teams::secrets::Secret;
use nix::sys::statvfs::statvfs;

use crate::control_plane::{Outside, Settings};
use crate::objects::Target;
use minitower_rest::{CorsOrigin, Limits, TrustedProxies};

pub use args::{Args, Command, ObjectsCommand, SecretsCommand};
pub use backup::{BackupArgs, BackupCommand, BackupSettings, FromArgs, Request, RestoreArgs, request};
pub use listen::ListenAddr;
pub use parse::ConfigError;

use crate::telemetry::LogFormat;

/// The control plane's configuration. The defaults are those of the program, but for a database and objects that
/// have to be named; an embedding program fills in what it knows.
#[derive(Debug, Clone)]
pub struct Config {
    /// Where to listen.
    pub listen_addr: ListenAddr,
    /// Where to serve the metrics; none: where everything else is served.
    pub metrics_addr: Option<ListenAddr>,
    /// How long a server that has to stop says that it is not ready before it accepts nothing more: load balancers turn away meanwhile.
    pub stop_delay: Duration,
    /// The database file; created if it does not exist.
    pub db_path: PathBuf,
    /// How long to wait at the start while another process still has the database: a pod that goes may overlap with the one that comes.
    pub db_lock_timeout: Duration,
    /// The folder for archives and artifacts, and for uploads in progress; created if it does not exist.
    pub objects_dir: PathBuf,
    /// The bucket for archives and artifacts; none: they lie in the folder.
    pub objects_url: Option<Location>,
    /// The file with the keys of the secrets; none: `secrets.key` in the folder of the objects. Made when the first secret is set.
    pub secrets_key_file: Option<PathBuf>,
    /// Backups that the server makes by itself; none: it makes none.
    pub backup: Option<BackupSettings>,
    /// Opens `POST /bootstrap/team`; none: the route is off.
    pub bootstrap_token: Option<Secret>,
    /// Whether anyone may sign a team up.
    pub public_signup_enabled: bool,
    /// Registers runners for the whole platform; none: only teams' own registration tokens work.
    pub runner_registration_token: Option<Secret>,
    /// Opens `/admin` across teams.
    pub operator_token: Option<Secret>,
    /// Where people reach this server with a browser.
    pub public_url: Option<String>,
    /// The identity provider that people sign in through; none: they do not.
    pub oidc: Option<OidcSettings>,
    /// Authorities whose certificates are trusted in addition to the system's, wherever this server is the client.
    pub trust: Trust,
    /// Networks that notifications may call although they are not public.
    pub webhook_allowed_nets: AllowedNets,
    /// The mail server of notifications; none: no emails.
    pub smtp: Option<Smtp>,
    /// Origins that browsers may call from.
    pub cors_origins: Vec<CorsOrigin>,
    /// The proxies whose `X-Forwarded-For` is believed.
    pub trusted_proxies: TrustedProxies,
    /// How long a lease lasts unless it is extended.
    pub lease_ttl: Duration,
    /// How often expired leases are looked for, at least.
    pub expiry_check_interval: Duration,
    /// After how long offline a runner is forgotten; none: never.
    pub runner_prune_after: Option<Duration>,
    /// How long runs that have ended are kept.
    pub retention: Retention,
    /// How long audit events are kept; none: for ever.
    pub audit_keep: Option<Duration>,
    /// How many events of the audit log are kept of each team; none: all.
    pub audit_keep_most: Option<u32>,
    /// Largest JSON body and largest artifact.
    pub limits: Limits,
    /// How log lines are written; none: as whoever reads them needs it.
    pub log_format: Option<LogFormat>,
    /// Which events are logged: a level, or directives such as `info,minitower_rest=debug`.
    pub log: String,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            listen_addr: ListenAddr { host: None, port: 8080 },
            metrics_addr: None,
            stop_delay: Duration::ZERO,
            db_path: PathBuf::from("./minitower.db"),
            db_lock_timeout: Duration::ZERO,
            objects_dir: PathBuf::from("./objects"),
            objects_url: None,
            secrets_key_file: None,
            backup: None,
            bootstrap_token: None,
            public_signup_enabled: true,
            runner_registration_token: None,
            operator_token: None,
            public_url: None,
            oidc: None,
            trust: Trust::default(),
            webhook_allowed_nets: AllowedNets::default(),
            smtp: None,
            cors_origins: Vec::new(),
            trusted_proxies: TrustedProxies::default(),
            lease_ttl: Duration::from_mins(1),
            expiry_check_interval: Duration::from_secs(10),
            runner_prune_after: Some(Duration::from_hours(24)),
            retention: Retention::default(),
            audit_keep: Some(Duration::from_hours(365 * 24)),
            audit_keep_most: Some(100_000),
            limits: Limits::default(),
            log_format: None,
            log: "info".to_owned(),
        }
    }
}

/// Half the size of the volume on which a folder lies, or will lie: what one team may store there by default. None: nobody knows.
fn half_of_the_volume(folder: &Path) -> Option<u64> {
    let there = std::path::absolute(folder).ok()?;
    let there = there.ancestors().find(|folder| folder.exists())?;
    let volume = statvfs(there).ok()?;
    Some(volume.blocks().saturating_mul(volume.fragment_size()) / 2)
}

/// Where `minitowerd objects copy` copies to.
pub fn copy_target(args: &Args, to: &str, endpoint: Option<String>) -> Result<Target, ConfigError> {
    if !to.contains("://") {
        return Ok(Target::Folder(PathBuf::from(to)));
    }
    let endpoint = endpoint.or_else(|| args.objects_endpoint.clone()).filter(|text| !text.is_empty());
    let rules = objects::Rules::of(args)?;
    objects::bucket("--to", to, (objects::ENDPOINT, endpoint), &rules).map(Target::Bucket)
}

impl Config {
    /// Where the keys of the secrets lie.
    pub(crate) fn secrets_key_file(&self) -> PathBuf {
        self.secrets_key_file.clone().unwrap_or_else(|| self.objects_dir.join("secrets.key"))
    }

    /// The part the use cases go by.
    pub(crate) fn settings(&self) -> Settings {
        Settings {
            db_path: self.db_path.clone(),
            teams: minitower_teams::Settings {
                bootstrap_token: self.bootstrap_token.clone(),
                registration_token: self.runner_registration_token.clone(),
                operator_token: self.operator_token.clone(),
                signup_enabled: self.public_signup_enabled,
                audit_keep: self.audit_keep,
                audit_keep_most: self.audit_keep_most,
                // A bucket has no size.
                storage_bytes: match self.objects_url {
                    None => half_of_the_volume(&self.objects_dir),
                    Some(_) => None,
                },
                secrets_key_file: self.secrets_key_file(),
                oidc: self.oidc.clone(),
            },
            runs: minitower_runs::Settings {
                objects_dir: self.objects_dir.clone(),
                objects_url: self.objects_url.clone(),
                retention: self.retention,
                lease_ttl: self.lease_ttl,
                expiry_check_interval: self.expiry_check_interval,
                runner_prune_after: self.runner_prune_after,
                max_artifact_bytes: self.limits.artifact,
            },
            outside: Outside {
                allowed_nets: self.webhook_allowed_nets.clone(),
                trust: self.trust.clone(),
                smtp: self.smtp.clone(),
                public_url: self.public_url.clone(),
            },
        }
    }
}
