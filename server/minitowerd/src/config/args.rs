//! The flags, each with its environment variable. Values stay text here: what they must be is checked in one place,
//! with one kind of message, wherever they came from.

use clap::{Parser, Subcommand};

use super::backup::{BackupArgs, FromArgs, RestoreArgs};

/// MiniTower's control plane.
///
/// Every setting is a flag or the environment variable beside it; the flag wins. Secrets are taken from the
/// environment only, as flags can be read by everyone on the machine: `MINITOWER_BOOTSTRAP_TOKEN` (opens
/// `/api/v1/bootstrap/team`), `MINITOWER_RUNNER_REGISTRATION_TOKEN` (registers runners for the whole platform),
/// `MINITOWER_OPERATOR_TOKEN` (opens `/api/v1/admin` across teams), `MINITOWER_OIDC_CLIENT_SECRET` (this server's secret at
/// the identity provider) and `MINITOWER_SMTP_URL` (the mail server of notifications, for example
/// `smtps://user:password@mail.example.com`).
#[derive(Debug, Clone, Default, Parser)]
#[command(name = "minitowerd", version = crate::VERSION.as_str(), disable_help_subcommand = true)]
pub struct Args {
    /// Where to listen: `:PORT` or `HOST:PORT` [default: :8080]
    #[arg(long, env = "MINITOWER_LISTEN_ADDR", hide_env_values = true, value_name = "ADDR")]
    pub listen_addr: Option<String>,
    /// Where to serve `/metrics`, in place of the main address: `:PORT` or `HOST:PORT` [default: the main address]
    #[arg(long, env = "MINITOWER_METRICS_ADDR", hide_env_values = true, value_name = "ADDR")]
    pub metrics_addr: Option<String>,
    /// How long a server that has to stop answers "not ready" before it accepts nothing more [default: 0s]
    #[arg(long, env = "MINITOWER_STOP_DELAY", hide_env_values = true, value_name = "DURATION")]
    pub stop_delay: Option<String>,
    /// The database file, created if it does not exist [default: ./minitower.db]
    #[arg(long, env = "MINITOWER_DB_PATH", hide_env_values = true, value_name = "FILE")]
    pub db_path: Option<String>,
    /// How long to wait at startup while another process still holds the database [default: 0s]
    #[arg(long, env = "MINITOWER_DB_LOCK_TIMEOUT", hide_env_values = true, value_name = "DURATION")]
    pub db_lock_timeout: Option<String>,
    /// The folder for archives and artifacts, and for uploads in progress; created if it does not exist [default: ./objects]
    #[arg(long, env = "MINITOWER_OBJECTS_DIR", hide_env_values = true, value_name = "FOLDER")]
    pub objects_dir: Option<String>,
    /// A bucket for archives and artifacts in place of the folder: `s3://BUCKET/PREFIX`, `gs://BUCKET/PREFIX` or
    /// `az://CONTAINER/PREFIX`. Credentials come from the usual variables (`AWS_ACCESS_KEY_ID` and so on) [default: none]
    #[arg(long, env = "MINITOWER_OBJECTS_URL", hide_env_values = true, value_name = "URL")]
    pub objects_url: Option<String>,
    /// The address of the bucket's service, if it is not the cloud's own [default: the cloud's own]
    #[arg(long, env = "MINITOWER_OBJECTS_ENDPOINT", hide_env_values = true, value_name = "URL")]
    pub objects_endpoint: Option<String>,
    /// Whether that address may be `http`, without encryption [default: false]
    #[arg(long, env = "MINITOWER_OBJECTS_ALLOW_HTTP", hide_env_values = true, value_name = "BOOL")]
    pub objects_allow_http: Option<String>,
    /// The file with the keys of the teams' secrets, created when the first secret is set [default: `secrets.key` in the objects folder]
    #[arg(long, env = "MINITOWER_SECRETS_KEY_FILE", hide_env_values = true, value_name = "FILE")]
    pub secrets_key_file: Option<String>,
    /// Where the server backs itself up: a folder, or `s3://BUCKET/PREFIX`, `gs://…` or `az://…` [default: none]
    #[arg(long, env = "MINITOWER_BACKUP_TO", hide_env_values = true, value_name = "PLACE")]
    pub backup_to: Option<String>,
    /// The address of that bucket's service [default: that of the objects]
    #[arg(long, env = "MINITOWER_BACKUP_ENDPOINT", hide_env_values = true, value_name = "URL")]
    pub backup_endpoint: Option<String>,
    /// How often it does [default: 24h]
    #[arg(long, env = "MINITOWER_BACKUP_EVERY", hide_env_values = true, value_name = "DURATION")]
    pub backup_every: Option<String>,
    /// How many of its backups are kept [default: 7]
    #[arg(long, env = "MINITOWER_BACKUP_KEEP", hide_env_values = true, value_name = "NUMBER")]
    pub backup_keep: Option<String>,
    /// Where people reach this server with a browser, such as `https://tower.example.com` [default: none]
    #[arg(long, env = "MINITOWER_PUBLIC_URL", hide_env_values = true, value_name = "URL")]
    pub public_url: Option<String>,
    /// The identity provider.
    #[command(flatten)]
    pub oidc: super::oidc::OidcArgs,
    /// Whether anyone may sign up a team [default: true]
    #[arg(long, env = "MINITOWER_PUBLIC_SIGNUP_ENABLED", hide_env_values = true, value_name = "BOOL")]
    pub public_signup_enabled: Option<String>,
    /// Origins that browsers may call from, separated by commas [default: none]
    #[arg(long, env = "MINITOWER_CORS_ORIGINS", hide_env_values = true, value_name = "ORIGINS")]
    pub cors_origins: Option<String>,
    /// Addresses and networks of the proxies whose `X-Forwarded-For` is believed, separated by commas [default: none]
    #[arg(long, env = "MINITOWER_TRUSTED_PROXIES", hide_env_values = true, value_name = "NETWORKS")]
    pub trusted_proxies: Option<String>,
    /// PEM certificates to trust in addition to the system's, wherever the server is the client: notifications, the identity provider,
    /// buckets [default: none]
    #[arg(long, env = "MINITOWER_CA_FILE", hide_env_values = true, value_name = "FILE")]
    pub ca_file: Option<String>,
    /// Networks that notifications may call although they are not public, separated by commas [default: none]
    #[arg(long, env = "MINITOWER_WEBHOOK_ALLOWED_NETS", hide_env_values = true, value_name = "NETWORKS")]
    pub webhook_allowed_nets: Option<String>,
    /// Whom emails are from, for example `MiniTower <minitower@example.com>`; needed with `MINITOWER_SMTP_URL`
    #[arg(long, env = "MINITOWER_SMTP_FROM", hide_env_values = true, value_name = "ADDRESS")]
    pub smtp_from: Option<String>,
    /// How long a lease lasts unless a heartbeat extends it [default: 60s]
    #[arg(long, env = "MINITOWER_LEASE_TTL", hide_env_values = true, value_name = "DURATION")]
    pub lease_ttl: Option<String>,
    /// The longest pause between two checks for expired leases [default: 10s]
    #[arg(long, env = "MINITOWER_EXPIRY_CHECK_INTERVAL", hide_env_values = true, value_name = "DURATION")]
    pub expiry_check_interval: Option<String>,
    /// How long a runner may be silent before it is forgotten; 0 means never [default: 24h]
    #[arg(long, env = "MINITOWER_RUNNER_PRUNE_AFTER", hide_env_values = true, value_name = "DURATION")]
    pub runner_prune_after: Option<String>,
    /// How long runs that have ended are kept, with their logs and artifacts; 0 means for ever [default: 2160h]
    #[arg(long, env = "MINITOWER_RUNS_KEEP", hide_env_values = true, value_name = "DURATION")]
    pub runs_keep: Option<String>,
    /// How many of the newest runs of each app are kept in any case, and as many of its versions [default: 100]
    #[arg(long, env = "MINITOWER_RUNS_KEEP_LAST", hide_env_values = true, value_name = "NUMBER")]
    pub runs_keep_last: Option<String>,
    /// How long audit events are kept; 0 means for ever [default: 8760h]
    #[arg(long, env = "MINITOWER_AUDIT_KEEP", hide_env_values = true, value_name = "DURATION")]
    pub audit_keep: Option<String>,
    /// How many events of the audit log are kept of each team; 0 keeps all [default: 100000]
    #[arg(long, env = "MINITOWER_AUDIT_KEEP_MOST", hide_env_values = true, value_name = "NUMBER")]
    pub audit_keep_most: Option<String>,
    /// Largest JSON body in bytes [default: 10485760]
    #[arg(long, env = "MINITOWER_MAX_REQUEST_BODY_SIZE", hide_env_values = true, value_name = "BYTES")]
    pub max_request_body_size: Option<String>,
    /// Largest artifact in bytes [default: 104857600]
    #[arg(long, env = "MINITOWER_MAX_ARTIFACT_SIZE", hide_env_values = true, value_name = "BYTES")]
    pub max_artifact_size: Option<String>,
    /// How log lines are written: json or text [default: text on a terminal, otherwise json]
    #[arg(long, env = "MINITOWER_LOG_FORMAT", hide_env_values = true, value_name = "FORMAT")]
    pub log_format: Option<String>,
    /// What is logged: a level, or directives such as `info,minitower_rest=debug` [default: info]
    #[arg(long, env = "MINITOWER_LOG", hide_env_values = true, value_name = "FILTER")]
    pub log: Option<String>,
    /// What to do instead of serving.
    #[command(subcommand)]
    pub command: Option<Command>,
}

/// What the program does instead of serving.
#[derive(Debug, Clone, Subcommand)]
pub enum Command {
    /// Back up the database and the objects that it names, and exit. The server may run meanwhile.
    ///
    /// Objects that the place has already are not copied again. The keys of the teams' secrets are not in a backup unless you ask for
    /// them. `list` shows the backups of a place.
    Backup(BackupArgs),
    /// Read a whole backup and check it: its hashes, its database and all its objects. Exit code 3: it is damaged.
    Verify(FromArgs),
    /// Turn a backup into the database if there is none yet, and exit.
    ///
    /// The backup is checked first: every page of it, and what its `-wal` file holds if there is one beside it. Its leases become void,
    /// and ids move on by a million, because runners have continued since. A run that ended after the backup may run again. Start the
    /// server afterwards as usual.
    Restore(RestoreArgs),
    /// Give room that the database does not use any more back to the volume, and exit.
    ///
    /// Stop the server first. A copy of the database is written to SQLite's temporary folder (`SQLITE_TMPDIR`), and then over it.
    Vacuum,
    /// Look after the objects: archives, artifacts and logs.
    Objects {
        /// What to do with them.
        #[command(subcommand)]
        command: ObjectsCommand,
    },
    /// Look after the keys of the teams' secrets. The server must not run.
    Secrets {
        /// What to do with them.
        #[command(subcommand)]
        command: SecretsCommand,
    },
    /// Ask the server on this machine (or in this container) whether it is ready: exit code 0, or 1 with the reason.
    ///
    /// It uses the address of `--listen-addr` and ignores the other settings.
    Healthcheck,
}

/// What the program does with the objects.
#[derive(Debug, Clone, Subcommand)]
pub enum ObjectsCommand {
    /// Copy all objects from where they are configured to another place, and exit.
    ///
    /// What is there already is left alone, so the command can be run again at any time, also while the server runs. To move for good:
    /// copy, stop the server, copy again, and start it with the new `MINITOWER_OBJECTS_URL` (or without it).
    Copy {
        /// A bucket (`s3://BUCKET/PREFIX`, `gs://…`, `az://…`), or a folder.
        #[arg(long, value_name = "URL")]
        to: String,
        /// The address of that bucket's service, if it is not the cloud's own [default: that of `--objects-endpoint`]
        #[arg(long, value_name = "URL")]
        to_endpoint: Option<String>,
    },
}

/// What the program does with the keys of the secrets.
#[derive(Debug, Clone, Subcommand)]
pub enum SecretsCommand {
    /// Put a new key into the key file, and encrypt the keys of all teams with it.
    ///
    /// Former keys stay in the file, because backups from before need them. If the command is interrupted, nothing is lost: the next
    /// start of the server ends its work.
    RotateKey {
        /// Remove former keys from the file. The secrets of earlier backups cannot be decrypted any more.
        #[arg(long)]
        drop_old: bool,
    },
    /// Delete all secrets of all teams: the way out when the key file is lost.
    Discard,
}
