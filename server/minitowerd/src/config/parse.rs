//! From text to [`Config`]. A bad value ends in one line: the variable, the value, the rule.

use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

use minitower_daemon::duration;
use minitower_kernel::outbound::AllowedNets;
use minitower_rest::{CorsOrigin, Limits, TrustedProxies};
use minitower_runs::Retention;
use minitower_teams::secrets::Secret;

use super::{Args, Config, ListenAddr, backup, objects, oidc, outside};
use crate::telemetry::{self, LogFormat};

/// Longest part of a bad value that is shown.
const SHOWN_CHARS: usize = 64;

/// The configuration cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ConfigError {
    /// A value breaks its variable's rule.
    #[error("{variable} is {value:?}: {rule}")]
    Bad {
        /// The environment variable; its flag is named after it.
        variable: &'static str,
        /// The value, shortened.
        value: String,
        /// What it must be.
        rule: String,
    },
    /// A secret's variable holds something that cannot be a token. The value is not shown.
    #[error("{0} is not a valid token: it must be one word of printable ASCII characters")]
    BadSecret(&'static str),
    /// A setting is missing that another one needs.
    #[error("{variable} is not set: {by} needs it")]
    Needed {
        /// The missing one.
        variable: &'static str,
        /// The one that is set.
        by: &'static str,
    },
    /// Two settings say the same.
    #[error("set {one} or {other}, not both")]
    Both {
        /// The one.
        one: &'static str,
        /// The other.
        other: &'static str,
    },
    /// The mail server cannot be used. Its URL is not shown.
    #[error("{0}")]
    Mail(String),
    /// Nobody could ever make a team.
    #[error(
        "MINITOWER_BOOTSTRAP_TOKEN is empty: it is required when MINITOWER_PUBLIC_SIGNUP_ENABLED is false and \
         MINITOWER_OIDC_ISSUER is not set, because otherwise nobody can create a team"
    )]
    NoWayIn,
}

impl Config {
    /// Checks the flags and the environment. `secret` looks a secret's variable up in the environment.
    pub fn from_args(
        mut args: Args,
        secret: impl Fn(&'static str) -> Option<String>,
    ) -> Result<Self, ConfigError> {
        let defaults = Self::default();
        let public_url = value("MINITOWER_PUBLIC_URL", args.public_url.take(), web_address)?;
        let rules = objects::Rules::of(&args)?;
        let trust = outside::trust(&args)?;
        let oidc = oidc::settings(
            std::mem::take(&mut args.oidc),
            secret("MINITOWER_OIDC_CLIENT_SECRET"),
            public_url.as_deref(),
            &trust,
        )?;
        let smtp = outside::smtp(secret("MINITOWER_SMTP_URL"), args.smtp_from.take(), &trust)?;
        let secret = |variable| parse_secret(variable, secret(variable));
        let config = Self {
            objects_url: objects::location(&args, &rules)?,
            backup: backup::settings(&args, &rules)?,
            listen_addr: Self::listen_addr(args.listen_addr)?,
            metrics_addr: value("MINITOWER_METRICS_ADDR", args.metrics_addr, ListenAddr::from_str)?,
            stop_delay: value("MINITOWER_STOP_DELAY", args.stop_delay, |text| {
                duration_between(text, Duration::ZERO, Duration::from_mins(1), "0s to 1m")
            })?
            .unwrap_or(defaults.stop_delay),
            db_path: path(args.db_path).unwrap_or(defaults.db_path),
            db_lock_timeout: value("MINITOWER_DB_LOCK_TIMEOUT", args.db_lock_timeout, |text| {
                duration_between(text, Duration::ZERO, Duration::from_mins(10), "0s to 10m")
            })?
            .unwrap_or(defaults.db_lock_timeout),
            objects_dir: path(args.objects_dir).unwrap_or(defaults.objects_dir),
            secrets_key_file: path(args.secrets_key_file).or(defaults.secrets_key_file),
            bootstrap_token: secret("MINITOWER_BOOTSTRAP_TOKEN")?,
            public_signup_enabled: value(
                "MINITOWER_PUBLIC_SIGNUP_ENABLED",
                args.public_signup_enabled,
                boolean,
            )?
            .unwrap_or(defaults.public_signup_enabled),
            runner_registration_token: secret("MINITOWER_RUNNER_REGISTRATION_TOKEN")?,
            operator_token: secret("MINITOWER_OPERATOR_TOKEN")?,
            public_url,
            oidc,
            trust,
            webhook_allowed_nets: value(
                "MINITOWER_WEBHOOK_ALLOWED_NETS",
                args.webhook_allowed_nets,
                str::parse::<AllowedNets>,
            )?
            .unwrap_or(defaults.webhook_allowed_nets),
            smtp,
            cors_origins: value("MINITOWER_CORS_ORIGINS", args.cors_origins, origins)?
                .unwrap_or(defaults.cors_origins),
            trusted_proxies: value(
                "MINITOWER_TRUSTED_PROXIES",
                args.trusted_proxies,
                str::parse::<TrustedProxies>,
            )?
            .unwrap_or(defaults.trusted_proxies),
            lease_ttl: value("MINITOWER_LEASE_TTL", args.lease_ttl, |text| {
                duration_between(text, Duration::from_millis(100), Duration::from_hours(24), "100ms to 24h")
            })?
            .unwrap_or(defaults.lease_ttl),
            expiry_check_interval: value(
                "MINITOWER_EXPIRY_CHECK_INTERVAL",
                args.expiry_check_interval,
                |text| {
                    duration_between(text, Duration::from_millis(10), Duration::from_hours(1), "10ms to 1h")
                },
            )?
            .unwrap_or(defaults.expiry_check_interval),
            runner_prune_after: value("MINITOWER_RUNNER_PRUNE_AFTER", args.runner_prune_after, prune_after)?
                .unwrap_or(defaults.runner_prune_after),
            retention: Retention {
                runs_for: value("MINITOWER_RUNS_KEEP", args.runs_keep, prune_after)?
                    .unwrap_or(defaults.retention.runs_for),
                last: value("MINITOWER_RUNS_KEEP_LAST", args.runs_keep_last, runs_kept)?
                    .unwrap_or(defaults.retention.last),
            },
            audit_keep: value("MINITOWER_AUDIT_KEEP", args.audit_keep, prune_after)?
                .unwrap_or(defaults.audit_keep),
            audit_keep_most: value("MINITOWER_AUDIT_KEEP_MOST", args.audit_keep_most, events_kept)?
                .unwrap_or(defaults.audit_keep_most),
            limits: Limits {
                request_body: value("MINITOWER_MAX_REQUEST_BODY_SIZE", args.max_request_body_size, bytes)?
                    .unwrap_or(defaults.limits.request_body),
                artifact: value("MINITOWER_MAX_ARTIFACT_SIZE", args.max_artifact_size, bytes)?
                    .unwrap_or(defaults.limits.artifact),
            },
            log_format: value("MINITOWER_LOG_FORMAT", args.log_format, log_format)?,
            log: value("MINITOWER_LOG", args.log, |text| {
                telemetry::check_filter(text).map(|()| text.to_owned())
            })?
            .unwrap_or(defaults.log),
        };
        let way_in =
            config.public_signup_enabled || config.bootstrap_token.is_some() || config.oidc.is_some();
        if !way_in {
            return Err(ConfigError::NoWayIn);
        }
        Ok(config)
    }

    /// Checks where to listen, and nothing else.
    pub fn listen_addr(text: Option<String>) -> Result<ListenAddr, ConfigError> {
        Ok(value("MINITOWER_LISTEN_ADDR", text, ListenAddr::from_str)?
            .unwrap_or_else(|| Self::default().listen_addr))
    }
}

/// An address that a person may open.
fn web_address(text: &str) -> Result<String, &'static str> {
    let rest = text.strip_prefix("https://").or_else(|| text.strip_prefix("http://"));
    let plain = |rest: &str| {
        rest.bytes().next().is_some_and(|byte| byte.is_ascii_alphanumeric() || byte == b'[')
            && rest.bytes().all(|byte| byte.is_ascii_graphic() && !b"?#@\\\"<>".contains(&byte))
    };
    if rest.is_some_and(plain) {
        Ok(text.trim_end_matches('/').to_owned())
    } else {
        Err("it must be an http or https URL without a query, a fragment or a password")
    }
}

/// The value of a variable; an empty one counts as not set, as orchestrators write it.
pub(super) fn value<T, E: ToString>(
    variable: &'static str,
    text: Option<String>,
    parse: impl FnOnce(&str) -> Result<T, E>,
) -> Result<Option<T>, ConfigError> {
    let Some(text) = text.filter(|text| !text.is_empty()) else { return Ok(None) };
    parse(&text).map(Some).map_err(|rule| ConfigError::Bad {
        variable,
        value: text.chars().take(SHOWN_CHARS).collect(),
        rule: rule.to_string(),
    })
}

/// Whether the address of a bucket may be without encryption.
pub(super) fn allow_http(args: &Args) -> Result<bool, ConfigError> {
    Ok(value("MINITOWER_OBJECTS_ALLOW_HTTP", args.objects_allow_http.clone(), boolean)?.unwrap_or(false))
}

fn path(text: Option<String>) -> Option<PathBuf> {
    text.filter(|text| !text.is_empty()).map(PathBuf::from)
}

fn parse_secret(variable: &'static str, text: Option<String>) -> Result<Option<Secret>, ConfigError> {
    // Files mounted as secrets and read into a variable often end with a newline.
    let Some(text) = text.map(|text| text.trim().to_owned()).filter(|text| !text.is_empty()) else {
        return Ok(None);
    };
    // It travels as one word of a header: any other could never be presented.
    if !text.bytes().all(|byte| byte.is_ascii_graphic()) {
        return Err(ConfigError::BadSecret(variable));
    }
    Ok(Secret::new(&text))
}

fn boolean(text: &str) -> Result<bool, &'static str> {
    match text {
        "true" | "TRUE" | "True" | "t" | "T" | "1" => Ok(true),
        "false" | "FALSE" | "False" | "f" | "F" | "0" => Ok(false),
        _ => Err("it must be true or false"),
    }
}

fn origins(text: &str) -> Result<Vec<CorsOrigin>, String> {
    text.split(',')
        .map(str::trim)
        .filter(|origin| !origin.is_empty())
        .map(|origin| origin.parse().map_err(|error: minitower_rest::InvalidOrigin| error.to_string()))
        .collect()
}

pub(super) fn duration_between(
    text: &str,
    least: Duration,
    most: Duration,
    range: &'static str,
) -> Result<Duration, String> {
    duration::parse(text)
        .ok()
        .filter(|duration| (least..=most).contains(duration))
        .ok_or_else(|| format!("it must be a duration such as 90s, 1m30s or 250ms, from {range}"))
}

fn prune_after(text: &str) -> Result<Option<Duration>, &'static str> {
    let duration =
        duration::parse(text).map_err(|_| "it must be a duration such as 24h or 1h30m, or 0 for never")?;
    Ok((!duration.is_zero()).then_some(duration))
}

fn events_kept(text: &str) -> Result<Option<u32>, &'static str> {
    let events: u32 = text.parse().map_err(|_| "it must be a number of events, or 0 for all of them")?;
    Ok((events > 0).then_some(events))
}

fn runs_kept(text: &str) -> Result<u32, &'static str> {
    const MOST: u32 = 1_000_000;
    text.parse().ok().filter(|runs| *runs <= MOST).ok_or("it must be a number of runs, from 0 to 1000000")
}

fn bytes(text: &str) -> Result<u64, &'static str> {
    /// 1 TiB: more is a slip of the hand, and would not be noticed before the disk is full.
    const MOST: u64 = 1 << 40;
    text.parse()
        .ok()
        .filter(|size| (1..=MOST).contains(size))
        .ok_or("it must be a number of bytes, from 1 to 2^40")
}

fn log_format(text: &str) -> Result<LogFormat, &'static str> {
    match text {
        "json" => Ok(LogFormat::Json),
        "text" => Ok(LogFormat::Text),
        _ => Err("it must be json or text"),
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser as _;
    use rstest::rstest;

    use super::*;

    fn parse(flags: &[&str], secrets: &[(&'static str, &str)]) -> Result<Config, ConfigError> {
        let args = Args::try_parse_from(std::iter::once(&"minitowerd").chain(flags)).unwrap();
        Config::from_args(args, |variable| {
            secrets.iter().find(|(name, _)| *name == variable).map(|(_, value)| (*value).to_owned())
        })
    }

    #[test]
    fn without_settings_the_defaults_hold() {
        let config = parse(&[], &[]).unwrap();
        assert_eq!(config.listen_addr.to_string(), ":8080");
        assert_eq!(config.db_lock_timeout, Duration::ZERO);
        assert_eq!(config.secrets_key_file(), std::path::Path::new("./objects/secrets.key"));
        assert_eq!(config.lease_ttl, Duration::from_mins(1));
        assert_eq!(config.runner_prune_after, Some(Duration::from_hours(24)));
        assert_eq!(config.retention.runs_for, Some(Duration::from_hours(2160)));
        assert_eq!(config.audit_keep_most, Some(100_000));
        assert_eq!((config.limits.request_body, config.limits.artifact), (10_485_760, 104_857_600));
        assert!(config.public_signup_enabled && config.bootstrap_token.is_none());
    }

    #[test]
    fn every_setting_is_taken() {
        let config = parse(
            &[
                "--listen-addr=127.0.0.1:9",
                "--db-path=/d",
                "--db-lock-timeout=45s",
                "--objects-dir=/o",
                "--secrets-key-file=/k/keys",
                "--public-signup-enabled=false",
                "--cors-origins=http://a.example, https://b.example",
                "--trusted-proxies=10.0.0.0/8, ::1",
                "--webhook-allowed-nets=10.0.0.0/8",
                "--smtp-from=t@example.com",
                "--lease-ttl=1m30s",
                "--expiry-check-interval=250ms",
                "--runner-prune-after=0",
                "--runs-keep=0",
                "--runs-keep-last=7",
                "--audit-keep-most=0",
                "--max-request-body-size=1",
                "--max-artifact-size=2",
                "--log-format=text",
                "--log=warn,minitower_rest=debug",
            ],
            &[
                ("MINITOWER_BOOTSTRAP_TOKEN", "dev\n"),
                ("MINITOWER_OPERATOR_TOKEN", "op"),
                ("MINITOWER_SMTP_URL", "smtps://me:hunter2@mail.example.com"),
                ("MINITOWER_RUNNER_REGISTRATION_TOKEN", ""),
            ],
        )
        .unwrap();
        assert_eq!(config.db_lock_timeout, Duration::from_secs(45));
        assert_eq!(config.lease_ttl, Duration::from_secs(90));
        assert_eq!(config.expiry_check_interval, Duration::from_millis(250));
        assert_eq!(config.runner_prune_after, None);
        assert_eq!(config.retention, Retention { runs_for: None, last: 7 });
        assert_eq!(config.audit_keep_most, None);
        assert_eq!(config.secrets_key_file(), std::path::Path::new("/k/keys"));
        assert_eq!(config.cors_origins.len(), 2);
        assert_eq!(config.trusted_proxies, "10.0.0.0/8,::1".parse().unwrap());
        assert_eq!(config.webhook_allowed_nets, "10.0.0.0/8".parse().unwrap());
        assert!(config.smtp.is_some() && !format!("{config:?}").contains("hunter2"));
        assert_eq!((config.limits.request_body, config.limits.artifact), (1, 2));
        assert!(config.bootstrap_token.unwrap().matches("dev"));
        assert!(config.operator_token.unwrap().matches("op"));
        assert!(config.runner_registration_token.is_none());
    }

    #[rstest]
    #[case("--listen-addr=8080", "MINITOWER_LISTEN_ADDR is \"8080\": it must be :PORT or HOST:PORT")]
    #[case(
        "--public-signup-enabled=yes",
        "MINITOWER_PUBLIC_SIGNUP_ENABLED is \"yes\": it must be true or false"
    )]
    #[case("--cors-origins=a.example", "MINITOWER_CORS_ORIGINS is \"a.example\": ")]
    #[case(
        "--trusted-proxies=10.0.0.0/8,proxy",
        "MINITOWER_TRUSTED_PROXIES is \"10.0.0.0/8,proxy\": \"proxy\" is not"
    )]
    #[case(
        "--webhook-allowed-nets=10.0.0.0/8,all",
        "MINITOWER_WEBHOOK_ALLOWED_NETS is \"10.0.0.0/8,all\": \"all\" is not a network"
    )]
    #[case("--db-lock-timeout=1h", "from 0s to 10m")]
    #[case("--lease-ttl=60", "MINITOWER_LEASE_TTL is \"60\": it must be a duration such as")]
    #[case("--lease-ttl=10ms", "from 100ms to 24h")]
    #[case("--expiry-check-interval=0", "MINITOWER_EXPIRY_CHECK_INTERVAL is \"0\"")]
    #[case("--runner-prune-after=1d", "MINITOWER_RUNNER_PRUNE_AFTER is \"1d\"")]
    #[case("--audit-keep-most=many", "MINITOWER_AUDIT_KEEP_MOST is \"many\": it must be a number of events")]
    #[case("--max-request-body-size=10MB", "MINITOWER_MAX_REQUEST_BODY_SIZE is \"10MB\"")]
    #[case("--max-artifact-size=-1", "MINITOWER_MAX_ARTIFACT_SIZE is \"-1\"")]
    #[case("--log-format=xml", "MINITOWER_LOG_FORMAT is \"xml\": it must be json or text")]
    #[case("--log=a=b=c", "MINITOWER_LOG is \"a=b=c\"")]
    #[case("--log=inof", "MINITOWER_LOG is \"inof\": it must be a level (")]
    fn a_bad_value_is_one_line_with_variable_value_and_rule(#[case] flag: &str, #[case] says: &str) {
        let message = parse(&[flag], &[]).unwrap_err().to_string();
        assert!(message.contains(says), "{message}");
        assert_eq!(message.lines().count(), 1);
    }

    #[test]
    fn an_empty_value_counts_as_not_set() {
        assert_eq!(parse(&["--lease-ttl="], &[]).unwrap().lease_ttl, Duration::from_mins(1));
    }

    #[test]
    fn without_signup_a_bootstrap_token_is_required() {
        let off = &["--public-signup-enabled=false"];
        assert_eq!(parse(off, &[]).unwrap_err(), ConfigError::NoWayIn);
        assert!(parse(off, &[("MINITOWER_BOOTSTRAP_TOKEN", "dev")]).is_ok());
    }

    #[test]
    fn a_bad_secret_is_named_but_not_shown() {
        let error = parse(&[], &[("MINITOWER_OPERATOR_TOKEN", "two words")]).unwrap_err().to_string();
        assert!(error.contains("MINITOWER_OPERATOR_TOKEN") && !error.contains("words"), "{error}");
    }

    #[test]
    fn debug_shows_no_secret() {
        let config = parse(&[], &[("MINITOWER_BOOTSTRAP_TOKEN", "hunter2")]).unwrap();
        assert!(!format!("{config:?}").contains("hunter2"));
    }
}
