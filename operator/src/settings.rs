//! Configuration: flags and environment variables, checked once at the start.

use std::fmt;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use clap::Parser;

use crate::demand::ControlPlaneConfig;
use crate::grants::{Grants, GrantsError};
use crate::leader::LEASE;

#[allow(clippy::doc_markdown, reason = "the doc comments are the help texts")]
/// Scales the runner pods of each RunnerPool with the queue, without ever interrupting a run.
///
/// Every flag can also be given as the environment variable named beside it. The flag wins.
#[derive(Parser, Clone, Default)]
#[command(name = "minitower-operator", version)]
pub struct Arguments {
    /// URL of the operator's own control plane, such as `http://minitower.minitower-system:8080`.
    #[arg(long, env = "MINITOWER_SERVER_URL", value_name = "URL")]
    pub server_url: Option<String>,
    /// File with the operator token of that control plane. You can also give the token itself, as MINITOWER_OPERATOR_TOKEN.
    #[arg(long, env = "MINITOWER_OPERATOR_TOKEN_FILE", value_name = "FILE")]
    pub operator_token_file: Option<PathBuf>,
    /// PEM file with certificates to trust in addition to the system's.
    #[arg(long, env = "MINITOWER_CA_FILE", value_name = "FILE")]
    pub ca_file: Option<PathBuf>,
    /// Namespaces whose pools are served, separated by commas. [default: all]
    #[arg(long, env = "MINITOWER_WATCH_NAMESPACES", value_name = "NAMES")]
    pub watch_namespaces: Option<String>,
    /// Namespaces besides the control plane's whose pools may use it without an operator token of their own, and whose runs they may serve
    /// there, as JSON: `{"team-a":{"teams":["acme"],"environments":["gpu"]},"team-b":{"platform":true}}`. [default: none]
    #[arg(long, env = "MINITOWER_POOL_NAMESPACES", value_name = "JSON")]
    pub pool_namespaces: Option<String>,
    /// Address that serves the probes and metrics. [default: :8081]
    #[arg(long, env = "MINITOWER_LISTEN_ADDR", value_name = "ADDRESS")]
    pub listen_addr: Option<String>,
    /// Namespace of the leader's Lease. [default: that of the pod or the kubeconfig]
    #[arg(long, env = "POD_NAMESPACE", value_name = "NAME")]
    pub namespace: Option<String>,
    /// Name of the leader's Lease. If a namespace has several operators, each needs its own. [default: minitower-operator]
    #[arg(long, env = "MINITOWER_LEASE_NAME", value_name = "NAME")]
    pub lease_name: Option<String>,
    /// Name of this replica in the leader's Lease. [default: the host's name]
    #[arg(long, env = "POD_NAME", value_name = "NAME")]
    pub identity: Option<String>,
    /// Runner image of pools that do not name one.
    #[arg(long, env = "MINITOWER_RUNNER_IMAGE", value_name = "IMAGE")]
    pub runner_image: Option<String>,
    /// Whether the admission policy that stops the ReplicaSet controller from deleting unmarked pods is installed. Without it, the operator
    /// waits 2 s between mark and shrink. [default: true]
    #[arg(long, env = "MINITOWER_ADMISSION_POLICY", value_name = "BOOL")]
    pub admission_policy: Option<String>,
    /// File for the last words of a process that fails, which Kubernetes shows as its termination message. It is written only if it exists.
    /// [default: /dev/termination-log]
    #[arg(long, env = "MINITOWER_TERMINATION_LOG", value_name = "FILE")]
    pub termination_log: Option<PathBuf>,
    /// Log format: json or text. [default: json]
    #[arg(long, env = "MINITOWER_LOG_FORMAT", value_name = "FORMAT")]
    pub log_format: Option<String>,
    /// What to log: a level, or a filter such as `info,kube=debug`. [default: info]
    #[arg(long, env = "MINITOWER_LOG", value_name = "FILTER")]
    pub log: Option<String>,
}

/// The checked configuration of the controller.
#[derive(Clone)]
pub struct Settings {
    /// The operator's own control plane, if it has one.
    pub own: Option<ControlPlaneConfig>,
    /// The file with its token. It is read again later, because the token may change.
    pub own_token_file: Option<PathBuf>,
    /// The Service of that control plane, if its URL names one.
    pub own_service: Option<OwnService>,
    /// A PEM file with certificates to trust besides the system's, for all control planes.
    pub ca_file: Option<PathBuf>,
    /// The namespaces whose pools are served. Empty: all.
    pub watch_namespaces: Vec<String>,
    /// Where probes and metrics are served: `host:port`, or `:port` for all addresses.
    pub listen_addr: String,
    /// The namespace of the Lease.
    pub namespace: Option<String>,
    /// The Lease's name.
    pub lease: String,
    /// The name of this replica.
    pub identity: String,
    /// The runner image for pools that name none.
    pub runner_image: String,
    /// Whether an admission policy protects unmarked pods from the ReplicaSet controller.
    pub admission_policy: bool,
}

/// The operator's own control plane, as a Service.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OwnService {
    /// The Service's name.
    pub name: String,
    /// Its namespace.
    pub namespace: String,
    /// Its port.
    pub port: u16,
    /// Which pools of other namespaces may use it, and for whom.
    pub grants: Grants,
}

impl fmt::Debug for Settings {
    /// `own` leaves its token out.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Settings")
            .field("own", &self.own)
            .field("watch_namespaces", &self.watch_namespaces)
            .field("listen_addr", &self.listen_addr)
            .field("runner_image", &self.runner_image)
            .field("admission_policy", &self.admission_policy)
            .finish_non_exhaustive()
    }
}

/// A missing or invalid value. Its text is one line that names the variable.
#[derive(Debug, thiserror::Error)]
pub enum SettingsError {
    /// A value that is required was not given.
    #[error("{variable}: {what} is missing{}", why.unwrap_or_default())]
    Missing {
        /// The variable.
        variable: &'static str,
        /// What it is to hold.
        what: &'static str,
        /// Why it is needed, or how else to give it.
        why: Option<&'static str>,
    },
    /// A value that is neither true nor false.
    #[error("{variable}: {value:?} is neither true nor false")]
    NotABool {
        /// The variable.
        variable: &'static str,
        /// Its value.
        value: String,
    },
    /// Whose runs pools of other namespaces may serve cannot be read.
    #[error("MINITOWER_POOL_NAMESPACES is not valid")]
    PoolNamespaces(#[source] GrantsError),
    /// There is nothing that pools of other namespaces may use.
    #[error(
        "MINITOWER_POOL_NAMESPACES needs a control plane that pools can name: set MINITOWER_SERVER_URL to that of a Service, such as \
         http://minitower.minitower-system:8080"
    )]
    NoService,
    /// The file with the token cannot be read.
    #[error("MINITOWER_OPERATOR_TOKEN_FILE: cannot read {}", file.display())]
    TokenFile {
        /// The file.
        file: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The file with the token is empty.
    #[error("MINITOWER_OPERATOR_TOKEN_FILE: {} is empty", file.display())]
    EmptyTokenFile {
        /// The file.
        file: PathBuf,
    },
}

impl Settings {
    /// Checks the arguments. An empty value counts as not given. `token` is the value of `MINITOWER_OPERATOR_TOKEN`: there is no flag for it,
    /// because every user of a machine can see flags.
    pub fn from_arguments(given: Arguments, token: Option<String>) -> Result<Self, SettingsError> {
        let (token, own_token_file) = match (filled(token), given.operator_token_file) {
            (Some(token), _) => (Some(token), None),
            (None, Some(file)) => (Some(read_token(&file)?), Some(file)),
            (None, None) => (None, None),
        };
        let url = filled(given.server_url);
        let mut own_service = url.as_deref().and_then(service_of);
        let grants = Grants::parse(given.pool_namespaces.as_deref().unwrap_or_default())
            .map_err(SettingsError::PoolNamespaces)?;
        match &mut own_service {
            Some(service) => service.grants = grants,
            None if grants.is_empty() => {}
            None => return Err(SettingsError::NoService),
        }
        let own = match (url, token) {
            (Some(url), Some(token)) => {
                Some(ControlPlaneConfig { url, token, ca_file: given.ca_file.clone() })
            }
            (Some(_), None) => {
                return Err(SettingsError::Missing {
                    variable: "MINITOWER_OPERATOR_TOKEN_FILE",
                    what: "the operator token of the control plane at MINITOWER_SERVER_URL",
                    why: None,
                });
            }
            (None, _) => None,
        };
        let admission_policy = match filled(given.admission_policy).as_deref() {
            None | Some("true") => true,
            Some("false") => false,
            Some(other) => {
                return Err(SettingsError::NotABool {
                    variable: "MINITOWER_ADMISSION_POLICY",
                    value: other.to_owned(),
                });
            }
        };
        let namespaces = given.watch_namespaces.unwrap_or_default();
        let names = namespaces.split(',').map(str::trim).filter(|name| !name.is_empty());
        let runner_image = filled(given.runner_image).ok_or(SettingsError::Missing {
            variable: "MINITOWER_RUNNER_IMAGE",
            what: "the runner image",
            why: Some(": set it, or give --runner-image"),
        })?;
        let identity = match filled(given.identity) {
            Some(name) => name,
            None => nix::unistd::gethostname().ok().and_then(|name| name.into_string().ok()).ok_or(
                SettingsError::Missing {
                    variable: "POD_NAME",
                    what: "the name of this replica",
                    why: Some(", and this host has no name"),
                },
            )?,
        };
        let listen_addr = filled(given.listen_addr).unwrap_or_else(|| ":8081".to_owned());
        Ok(Self {
            own,
            own_token_file,
            own_service,
            ca_file: given.ca_file,
            watch_namespaces: names.map(str::to_owned).collect(),
            listen_addr,
            namespace: filled(given.namespace),
            lease: filled(given.lease_name).unwrap_or_else(|| LEASE.to_owned()),
            identity,
            runner_image,
            admission_policy,
        })
    }
}

/// Reads the operator token of the operator's own control plane.
pub fn read_token(file: &Path) -> Result<String, SettingsError> {
    let text = fs::read_to_string(file)
        .map_err(|source| SettingsError::TokenFile { file: file.to_owned(), source })?;
    let token = text.trim();
    if token.is_empty() {
        return Err(SettingsError::EmptyTokenFile { file: file.to_owned() });
    }
    Ok(token.to_owned())
}

fn filled(value: Option<String>) -> Option<String> {
    value.filter(|value| !value.is_empty())
}

/// The Service that a URL in the cluster's own names means: `http://name.namespace[.svc[.zone]][:port]`. An https URL does not count: pools
/// that name a Service reach it without TLS, and the token must not travel that way.
fn service_of(url: &str) -> Option<OwnService> {
    let rest = url.strip_prefix("http://")?;
    let authority = rest.split('/').next()?;
    let (host, port) = match authority.split_once(':') {
        Some((host, port)) => (host, port.parse().ok()?),
        None => (authority, 80),
    };
    let mut labels = host.split('.');
    let (name, namespace) = (labels.next()?, labels.next()?);
    match labels.next() {
        None | Some("svc") => Some(OwnService {
            name: name.to_owned(),
            namespace: namespace.to_owned(),
            port,
            grants: Grants::default(),
        }),
        Some(_) => None,
    }
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    #[rstest]
    #[case("http://minitower.minitower-system:8080", Some(("minitower", "minitower-system", 8080)))]
    #[case("http://minitower.minitower-system.svc.cluster.local/", Some(("minitower", "minitower-system", 80)))]
    #[case("https://a.b.svc", None)]
    #[case("https://tower.example.com", None)]
    #[case("http://127.0.0.1:8080", None)]
    #[case("http://minitower:8080", None)]
    fn a_url_of_a_service_is_known(#[case] url: &str, #[case] expected: Option<(&str, &str, u16)>) {
        let found = service_of(url);
        let found = found.as_ref().map(|s| (s.name.as_str(), s.namespace.as_str(), s.port));
        assert_eq!(found, expected);
    }

    fn given() -> Arguments {
        Arguments { runner_image: Some("runner:1".to_owned()), ..Arguments::default() }
    }

    #[test]
    fn a_server_without_a_token_is_refused_by_name() {
        let given = Arguments { server_url: Some("http://a.b".to_owned()), ..given() };
        let error = Settings::from_arguments(given, None).unwrap_err();
        assert_eq!(
            error.to_string(),
            "MINITOWER_OPERATOR_TOKEN_FILE: the operator token of the control plane at MINITOWER_SERVER_URL is missing"
        );
    }

    #[test]
    fn the_token_is_in_no_debug_output() {
        let given = Arguments { server_url: Some("http://a.b".to_owned()), ..given() };
        let settings = Settings::from_arguments(given, Some("mto_secret".to_owned())).unwrap();
        assert!(!format!("{settings:?}").contains("mto_secret"));
    }

    #[rstest]
    #[case(None, r#"{"a":{"platform":true}}"#, "set MINITOWER_SERVER_URL to that of a Service")]
    #[case(
        Some("https://tower.example.com"),
        r#"{"a":{"platform":true}}"#,
        "set MINITOWER_SERVER_URL to that of a Service"
    )]
    #[case(Some("http://a.b"), "team-a", "MINITOWER_POOL_NAMESPACES is not valid: it must be JSON")]
    fn grants_that_could_have_no_effect_are_refused(
        #[case] url: Option<&str>,
        #[case] grants: &str,
        #[case] words: &str,
    ) {
        let given = Arguments {
            server_url: url.map(str::to_owned),
            pool_namespaces: Some(grants.to_owned()),
            ..given()
        };
        let error = Settings::from_arguments(given, Some("mto_secret".to_owned())).unwrap_err();
        let text = minitower_daemon::errors::chain(&error);
        assert!(text.contains(words), "{text}");
    }

    #[test]
    fn what_others_may_have_belongs_to_the_own_control_plane() {
        let given = Arguments {
            server_url: Some("http://a.b".to_owned()),
            pool_namespaces: Some(r#"{"other":{"teams":["acme"]}}"#.to_owned()),
            ..given()
        };
        let service =
            Settings::from_arguments(given, Some("mto_secret".to_owned())).unwrap().own_service.unwrap();
        assert_eq!(service.grants.allow("other", Some("acme"), "default"), Ok(()));
        assert!(service.grants.allow("another", Some("acme"), "default").is_err());
    }

    #[test]
    fn namespaces_are_split_and_trimmed() {
        let given = Arguments { watch_namespaces: Some(" a, b,,".to_owned()), ..given() };
        assert_eq!(Settings::from_arguments(given, None).unwrap().watch_namespaces, ["a", "b"]);
    }
}
