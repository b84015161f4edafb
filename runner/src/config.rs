//! Configuration: flags and environment variables, checked once at the start.

mod confinement;

use std::fmt;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use clap::Parser;
use globset::{Glob, GlobSet, GlobSetBuilder};
use minitower_daemon::duration;

use crate::supervisor::Limits;
use crate::termination_log::TerminationLog;
pub use confinement::{ConfinementArguments, SandboxMode};

/// What of its own environment a runner passes on unless told otherwise.
const DEFAULT_ENV_PASS: &str = "PIP_*,UV_*,HTTP_PROXY,HTTPS_PROXY,NO_PROXY,ALL_PROXY,http_proxy,https_proxy,no_proxy,all_proxy,\
     SSL_CERT_FILE,SSL_CERT_DIR,REQUESTS_CA_BUNDLE,CURL_CA_BUNDLE";
/// How old an environment may get whose packages are not pinned.
const DEFAULT_ENV_MAX_AGE: Duration = Duration::from_secs(168 * 60 * 60);
/// Longest runner name: it is a folder's name and, in a cluster, a pod's.
const MAX_NAME_LENGTH: usize = 253;

/// Takes runs from the MiniTower control plane and carries them out, one at a time.
///
/// Every flag can also be given as the environment variable named beside it; the flag wins.
#[derive(Parser, Clone, Default)]
#[command(name = "minitower-runner", version)]
pub struct Arguments {
    /// URL of the control plane, such as `http://127.0.0.1:8080`.
    #[arg(long, env = "MINITOWER_SERVER_URL", value_name = "URL")]
    pub server_url: Option<String>,
    /// The runner's name, unique on the platform; in a pod, the pod's name.
    #[arg(long, env = "MINITOWER_RUNNER_NAME", value_name = "NAME")]
    pub runner_name: Option<String>,
    /// Registration token, needed for the first registration.
    #[arg(long, env = "MINITOWER_RUNNER_REGISTRATION_TOKEN", value_name = "TOKEN", hide_env_values = true)]
    pub registration_token: Option<String>,
    /// File that holds the registration token.
    #[arg(long, env = "MINITOWER_RUNNER_REGISTRATION_TOKEN_FILE", value_name = "FILE")]
    pub registration_token_file: Option<String>,
    /// Older name of --registration-token.
    #[arg(long, env = "MINITOWER_REGISTRATION_TOKEN", hide_env_values = true, hide = true)]
    pub old_registration_token: Option<String>,
    /// Older name of --registration-token-file.
    #[arg(long, env = "MINITOWER_REGISTRATION_TOKEN_FILE", hide = true)]
    pub old_registration_token_file: Option<String>,
    /// Runner token of an earlier registration; a token kept in the data directory comes first.
    #[arg(long, env = "MINITOWER_RUNNER_TOKEN", value_name = "TOKEN", hide_env_values = true)]
    pub runner_token: Option<String>,
    /// The environment whose runs the runner takes. [default: default]
    #[arg(long, env = "MINITOWER_RUNNER_ENVIRONMENT", value_name = "NAME")]
    pub runner_environment: Option<String>,
    /// The pool under which the runner is listed; in a cluster, NAMESPACE/NAME.
    #[arg(long, env = "MINITOWER_RUNNER_POOL", value_name = "NAME")]
    pub runner_pool: Option<String>,
    /// The Python interpreters that run jobs, the preferred one first, separated by commas. Any `python3.N` on the PATH comes after
    /// them. [default: python3]
    #[arg(long, env = "MINITOWER_PYTHON_BIN", value_name = "PROGRAMS")]
    pub python_bin: Option<String>,
    /// Whether uv may download a Python if no installed one matches a project: true or false. [default: false]
    #[arg(long, env = "MINITOWER_PYTHON_DOWNLOADS", value_name = "BOOLEAN")]
    pub python_downloads: Option<String>,
    /// Which uv to use: auto (from PATH, otherwise from the package index), off (use pip), or a path. [default: auto]
    #[arg(long, env = "MINITOWER_UV", value_name = "auto|off|PATH")]
    pub uv: Option<String>,
    /// How old a Python environment with unpinned packages may get before it is built again. [default: 168h]
    #[arg(long, env = "MINITOWER_ENV_MAX_AGE", value_name = "DURATION")]
    pub env_max_age: Option<String>,
    /// Pause after a failed poll, and between polls of a server that does not hold them. [default: 3s]
    #[arg(long, env = "MINITOWER_POLL_INTERVAL", value_name = "DURATION")]
    pub poll_interval: Option<String>,
    /// Time between SIGTERM and SIGKILL of a cancelled or timed-out job. [default: 10s]
    #[arg(long, env = "MINITOWER_KILL_GRACE_PERIOD", value_name = "DURATION")]
    pub kill_grace_period: Option<String>,
    /// How long a stopping runner lets its run continue. [default: 30s]
    #[arg(long, env = "MINITOWER_SHUTDOWN_GRACE", value_name = "DURATION")]
    pub shutdown_grace: Option<String>,
    /// Where tokens, workspaces and caches are kept, a folder per runner name. [default: ~/.minitower]
    #[arg(long, env = "MINITOWER_DATA_DIR", value_name = "FOLDER")]
    pub data_dir: Option<String>,
    /// Variables of the runner's own environment that jobs may see: names or globs, separated by commas.
    /// By default the variables of pip, uv, proxies and certificates.
    #[arg(long, env = "MINITOWER_RUN_ENV_PASS", value_name = "GLOBS")]
    pub run_env_pass: Option<String>,
    /// Folder with secrets for all jobs of the runner, one file each: the file's name is that of the variable. Read anew for each
    /// run, hidden in logs.
    #[arg(long, env = "MINITOWER_RUN_SECRETS_DIR", value_name = "FOLDER")]
    pub run_secrets_dir: Option<String>,
    /// What jobs may do and take.
    #[command(flatten)]
    pub confinement: ConfinementArguments,
    /// PEM file with certificates to trust in addition to the system's.
    #[arg(long, env = "MINITOWER_CA_FILE", value_name = "FILE")]
    pub ca_file: Option<String>,
    /// File for the id of this process and the error that ends it. [default: /dev/termination-log, if it exists]
    #[arg(long, env = "MINITOWER_TERMINATION_LOG", value_name = "FILE")]
    pub termination_log: Option<String>,
    /// Format of the runner's own log: json or text. [default: text on a terminal, otherwise json]
    #[arg(long, env = "MINITOWER_LOG_FORMAT", value_name = "FORMAT")]
    pub log_format: Option<String>,
    /// What the runner logs: a level, or a filter such as `info,minitower_runner=debug`. [default: info]
    #[arg(long, env = "MINITOWER_LOG", value_name = "FILTER")]
    pub log: Option<String>,
}

/// A checked configuration of the agent.
#[derive(Clone)]
pub struct Config {
    /// URL of the control plane.
    pub server_url: String,
    /// The runner's name; also a folder's name below `data_dir`.
    pub runner_name: String,
    /// Needed when there is no valid runner token.
    pub registration_token: Option<String>,
    /// A runner token to begin with.
    pub runner_token: Option<String>,
    /// Which environment's runs to take.
    pub environment: String,
    /// The pool it belongs to.
    pub pool: Option<String>,
    /// The Pythons that run jobs, comma-separated, the preferred one first.
    pub python_bin: String,
    /// Whether uv may download Pythons.
    pub python_downloads: bool,
    /// Where uv comes from.
    pub uv: UvSource,
    /// How old a prepared environment may get whose packages are not pinned.
    pub env_max_age: Duration,
    /// Pause after a failed or too early answered poll.
    pub poll_interval: Duration,
    /// Time between SIGTERM and SIGKILL of a job.
    pub kill_grace: Duration,
    /// How long a stopping runner lets its run go on.
    pub shutdown_grace: Duration,
    /// Where tokens, workspaces and caches live.
    pub data_dir: PathBuf,
    /// Which of the runner's own variables jobs may see.
    pub env_pass: GlobSet,
    /// Whether the operator chose them, so that jobs get the secrets of installers that are among them.
    pub env_pass_explicit: bool,
    /// A folder with secrets that all jobs get, and do not see themselves.
    pub run_secrets_dir: Option<PathBuf>,
    /// Certificates trusted besides the system's.
    pub ca_file: Option<PathBuf>,
    /// Files and folders that jobs may not read, besides `data_dir`.
    pub hidden: Vec<PathBuf>,
    /// Whether jobs must be confined; `None`: as the runner's registration asks.
    pub sandbox: Option<SandboxMode>,
    /// Jobs may read what `/tmp` holds, as their user may.
    pub shared_tmp: bool,
    /// Folders besides the run's own that jobs may write.
    pub job_writable: Vec<PathBuf>,
    /// What one job may take of the machine.
    pub limits: Limits,
    /// Where last words go.
    pub termination_log: Option<TerminationLog>,
}

/// Where uv comes from.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum UvSource {
    /// The runner's PATH, else the package index.
    #[default]
    Auto,
    /// Nowhere: pip installs.
    Off,
    /// This program.
    Program(PathBuf),
}

/// A missing or bad value; its text is one line that names it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ConfigError {
    /// A required value was not given.
    #[error("{variable} is missing: set it, or give {flag}")]
    Missing {
        /// The environment variable.
        variable: &'static str,
        /// The flag.
        flag: &'static str,
    },
    /// A value cannot be used.
    #[error("{variable}: {reason}")]
    Invalid {
        /// The environment variable.
        variable: &'static str,
        /// What is wrong with it.
        reason: String,
    },
}

impl Config {
    /// A configuration with the defaults.
    pub fn new(
        server_url: impl Into<String>,
        runner_name: impl Into<String>,
        data_dir: impl Into<PathBuf>,
    ) -> Self {
        Self {
            server_url: server_url.into(),
            runner_name: runner_name.into(),
            registration_token: None,
            runner_token: None,
            environment: "default".to_owned(),
            pool: None,
            python_bin: "python3".to_owned(),
            python_downloads: false,
            uv: UvSource::Auto,
            env_max_age: DEFAULT_ENV_MAX_AGE,
            poll_interval: Duration::from_secs(3),
            kill_grace: Duration::from_secs(10),
            shutdown_grace: Duration::from_secs(30),
            data_dir: data_dir.into(),
            env_pass: globs(DEFAULT_ENV_PASS).unwrap_or_default(),
            env_pass_explicit: false,
            run_secrets_dir: None,
            ca_file: None,
            hidden: Vec::new(),
            sandbox: None,
            shared_tmp: false,
            job_writable: Vec::new(),
            limits: Limits::default(),
            termination_log: None,
        }
    }

    /// Checks what was given. An empty value counts as not given.
    pub fn from_arguments(given: Arguments) -> Result<Self, ConfigError> {
        let server_url = required(given.server_url, "MINITOWER_SERVER_URL", "--server-url")?;
        let runner_name = required(given.runner_name, "MINITOWER_RUNNER_NAME", "--runner-name")?;
        check_name(&runner_name)?;
        let mut config = Self::new(server_url, runner_name, data_dir(given.data_dir)?);
        config.registration_token =
            filled(given.registration_token).or_else(|| filled(given.old_registration_token));
        for (variable, file) in [
            ("MINITOWER_RUNNER_REGISTRATION_TOKEN_FILE", filled(given.registration_token_file)),
            ("MINITOWER_REGISTRATION_TOKEN_FILE", filled(given.old_registration_token_file)),
        ] {
            let Some(file) = file.map(PathBuf::from) else { continue };
            if config.registration_token.is_none() {
                config.registration_token = Some(read_secret(variable, &file)?);
            }
            config.hidden.push(file);
        }
        config.runner_token = filled(given.runner_token);
        if let Some(environment) = filled(given.runner_environment) {
            config.environment = environment;
        }
        config.pool = filled(given.runner_pool);
        config.termination_log = Some(TerminationLog::new(given.termination_log.as_deref()));
        if let Some(python) = filled(given.python_bin) {
            config.python_bin = python;
        }
        if let Some(downloads) = filled(given.python_downloads) {
            config.python_downloads = downloads.parse().map_err(|_| ConfigError::Invalid {
                variable: "MINITOWER_PYTHON_DOWNLOADS",
                reason: format!("`{downloads}` is neither true nor false"),
            })?;
        }
        if let Some(uv) = filled(given.uv) {
            config.uv = uv_source(&uv)?;
        }
        for (variable, value, place) in [
            ("MINITOWER_ENV_MAX_AGE", given.env_max_age, &mut config.env_max_age),
            ("MINITOWER_POLL_INTERVAL", given.poll_interval, &mut config.poll_interval),
            ("MINITOWER_KILL_GRACE_PERIOD", given.kill_grace_period, &mut config.kill_grace),
            ("MINITOWER_SHUTDOWN_GRACE", given.shutdown_grace, &mut config.shutdown_grace),
        ] {
            if let Some(value) = filled(value) {
                *place = duration::parse(&value)
                    .map_err(|error| ConfigError::Invalid { variable, reason: error.to_string() })?;
            }
        }
        if config.poll_interval.is_zero() {
            return Err(ConfigError::Invalid {
                variable: "MINITOWER_POLL_INTERVAL",
                reason: "it must be longer than 0".to_owned(),
            });
        }
        given.confinement.check(&mut config)?;
        // Set but empty means: pass nothing on.
        if let Some(list) = given.run_env_pass {
            config.env_pass_explicit = true;
            config.env_pass = globs(&list).map_err(|error| ConfigError::Invalid {
                variable: "MINITOWER_RUN_ENV_PASS",
                reason: error.to_string(),
            })?;
        }
        if let Some(folder) = filled(given.run_secrets_dir).map(PathBuf::from) {
            let found = fs::read_dir(&folder).err().map(|error| error.to_string());
            let relative = folder.is_relative().then(|| "it must be an absolute path".to_owned());
            if let Some(reason) = relative.or(found) {
                let reason = format!("{}: {reason}", folder.display());
                return Err(ConfigError::Invalid { variable: "MINITOWER_RUN_SECRETS_DIR", reason });
            }
            config.hidden.push(folder.clone());
            config.run_secrets_dir = Some(folder);
        }
        if let Some(file) = filled(given.ca_file).map(PathBuf::from) {
            fs::metadata(&file).map_err(|error| ConfigError::Invalid {
                variable: "MINITOWER_CA_FILE",
                reason: format!("{}: {error}", file.display()),
            })?;
            config.ca_file = Some(file);
        }
        Ok(config)
    }
}

impl fmt::Debug for Config {
    /// Without the tokens.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Config")
            .field("server_url", &self.server_url)
            .field("runner_name", &self.runner_name)
            .field("environment", &self.environment)
            .field("data_dir", &self.data_dir)
            .finish_non_exhaustive()
    }
}

fn filled(value: Option<String>) -> Option<String> {
    value.map(|value| value.trim().to_owned()).filter(|value| !value.is_empty())
}

fn required(
    value: Option<String>,
    variable: &'static str,
    flag: &'static str,
) -> Result<String, ConfigError> {
    filled(value).ok_or(ConfigError::Missing { variable, flag })
}

fn uv_source(text: &str) -> Result<UvSource, ConfigError> {
    match text {
        "auto" => Ok(UvSource::Auto),
        "off" => Ok(UvSource::Off),
        path if Path::new(path).is_file() => Ok(UvSource::Program(PathBuf::from(path))),
        path => Err(ConfigError::Invalid {
            variable: "MINITOWER_UV",
            reason: format!("`{path}` is neither auto, off nor a program's path"),
        }),
    }
}

fn check_name(name: &str) -> Result<(), ConfigError> {
    let allowed = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-');
    if name.len() <= MAX_NAME_LENGTH && name.chars().all(allowed) && !name.starts_with('.') {
        return Ok(());
    }
    Err(ConfigError::Invalid {
        variable: "MINITOWER_RUNNER_NAME",
        reason: format!(
            "`{name}` cannot be a runner's name; use up to {MAX_NAME_LENGTH} letters, digits, '.', '_' or '-', not beginning with '.'"
        ),
    })
}

fn data_dir(given: Option<String>) -> Result<PathBuf, ConfigError> {
    if let Some(given) = filled(given) {
        return std::path::absolute(&given).map_err(|error| ConfigError::Invalid {
            variable: "MINITOWER_DATA_DIR",
            reason: format!("{given}: {error}"),
        });
    }
    let home = std::env::home_dir().filter(|home| home.is_absolute());
    home.map(|home| home.join(".minitower"))
        .ok_or(ConfigError::Missing { variable: "MINITOWER_DATA_DIR", flag: "--data-dir" })
}

fn read_secret(variable: &'static str, file: &Path) -> Result<String, ConfigError> {
    let invalid =
        |reason: String| ConfigError::Invalid { variable, reason: format!("{}: {reason}", file.display()) };
    let text = fs::read_to_string(file).map_err(|error| invalid(error.to_string()))?;
    filled(Some(text)).ok_or_else(|| invalid("the file is empty".to_owned()))
}

fn globs(list: &str) -> Result<GlobSet, globset::Error> {
    let mut set = GlobSetBuilder::new();
    for glob in list.split(',').map(str::trim).filter(|glob| !glob.is_empty()) {
        set.add(Glob::new(glob)?);
    }
    set.build()
}

#[cfg(test)]
mod tests;
