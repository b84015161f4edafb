//! Where the control plane is and how long to wait for it.

use std::fmt;
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Once};
use std::time::Duration;

use reqwest::{Certificate, Url};

use crate::Error;

/// How to reach a control plane.
#[derive(Debug, Clone)]
pub struct ClientConfig {
    /// Base URL, `http://` or `https://`, optionally with a path in front of `/api/v1`.
    pub server_url: String,
    /// PEM file with certificates trusted besides the system's.
    pub ca_file: Option<PathBuf>,
    /// Longest wait for a connection. Default 5 s.
    pub connect_timeout: Duration,
    /// Longest wait for a whole answer; of streams (upload, artifact) the longest pause without a byte.
    /// Default 30 s.
    pub request_timeout: Duration,
    /// Longest JSON answer that is read, in bytes; a list may be four times as long. A page of logs is the largest: 8 KiB a line. Default 64 MiB.
    pub max_answer_bytes: usize,
    /// The `User-Agent`, e.g. `minitower-runner/0.1.0`.
    pub user_agent: String,
    /// Who hears of ignored fields.
    pub on_ignored: Option<OnIgnored>,
}

/// Hears which fields of a request a server did not know and has ignored (`X-Ignored-Fields`).
#[derive(Clone)]
pub struct OnIgnored(Arc<dyn Fn(&str) + Send + Sync>);

impl OnIgnored {
    /// Calls `hear` with the names, separated by commas.
    pub fn new(hear: impl Fn(&str) + Send + Sync + 'static) -> Self {
        Self(Arc::new(hear))
    }

    pub(crate) fn hear(&self, names: &str) {
        (self.0)(names);
    }
}

impl fmt::Debug for OnIgnored {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("OnIgnored")
    }
}

/// How what is sent to a server travels.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Carried {
    /// By https.
    Encrypted,
    /// By http, and it does not leave this machine.
    Locally,
    /// By http, and everybody on the way can read it.
    Openly,
}

impl ClientConfig {
    /// A configuration with the default timeouts.
    pub fn new(server_url: impl Into<String>) -> Self {
        Self {
            server_url: server_url.into(),
            ca_file: None,
            connect_timeout: Duration::from_secs(5),
            request_timeout: Duration::from_secs(30),
            max_answer_bytes: 64 * 1024 * 1024,
            user_agent: concat!("minitower-client/", env!("CARGO_PKG_VERSION")).to_owned(),
            on_ignored: None,
        }
    }

    /// Checks and parses the server URL.
    pub(crate) fn base_url(&self) -> Result<Url, Error> {
        let invalid = |reason: &str| Error::Url { url: self.server_url.clone(), reason: reason.to_owned() };
        let mut url = Url::parse(self.server_url.trim()).map_err(|error| invalid(&error.to_string()))?;
        if !matches!(url.scheme(), "http" | "https") {
            return Err(invalid("it must begin with http:// or https://"));
        }
        if url.host_str().is_none() {
            return Err(invalid("it names no host"));
        }
        if !url.username().is_empty() || url.password().is_some() {
            // Not repeated in the message: it holds a password.
            return Err(Error::Url {
                url: url.host_str().unwrap_or_default().to_owned(),
                reason: "it must not hold a user name or password".to_owned(),
            });
        }
        url.set_query(None);
        url.set_fragment(None);
        Ok(url)
    }

    /// How tokens and passwords travel to the server.
    pub fn carried(&self) -> Result<Carried, Error> {
        let url = self.base_url()?;
        Ok(match url.scheme() {
            "https" => Carried::Encrypted,
            _ if is_loopback(&url) => Carried::Locally,
            _ => Carried::Openly,
        })
    }

    /// Builds the HTTP client for `base`.
    pub(crate) fn http_client(&self, base: &Url) -> Result<reqwest::Client, Error> {
        install_crypto_provider();
        let mut builder = reqwest::Client::builder()
            .user_agent(&self.user_agent)
            .connect_timeout(self.connect_timeout)
            // A redirect would carry the token to another host.
            .redirect(reqwest::redirect::Policy::none())
            .tcp_nodelay(true);
        if is_loopback(base) {
            builder = builder.no_proxy();
        }
        if base.scheme() == "http" {
            // The system's certificates cost milliseconds to load, and minimal images have none.
            builder = builder.tls_certs_only([]);
        } else if let Some(path) = &self.ca_file {
            builder = builder.tls_certs_merge(read_certificates(path)?);
        }
        builder.build().map_err(|error| {
            let reason = crate::error::innermost(&error);
            // What can fail here is loading the system's certificates.
            Error::Setup { reason: format!("{reason}; name trusted certificates in MINITOWER_CA_FILE") }
        })
    }
}

/// Both this crate and an embedder may come first; whoever does decides.
fn install_crypto_provider() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        let _already_installed = rustls::crypto::ring::default_provider().install_default();
    });
}

/// Requests to this machine never go through a proxy, as with Go's `net/http`, which the other clients use.
fn is_loopback(url: &Url) -> bool {
    url.host_str().is_some_and(|host| {
        host == "localhost"
            || host.trim_matches(['[', ']']).parse::<IpAddr>().is_ok_and(|address| address.is_loopback())
    })
}

fn read_certificates(path: &Path) -> Result<Vec<Certificate>, Error> {
    let invalid = |reason: String| Error::CaFile { path: path.to_owned(), reason };
    let pem = std::fs::read(path).map_err(|error| invalid(error.to_string()))?;
    let certificates = Certificate::from_pem_bundle(&pem).map_err(|error| invalid(error.to_string()))?;
    if certificates.is_empty() {
        return Err(invalid("it holds no PEM certificate".to_owned()));
    }
    Ok(certificates)
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    #[rstest]
    #[case("127.0.0.1:8080")]
    #[case("ftp://example.org")]
    #[case("tower")]
    #[case("")]
    fn a_bad_url_is_refused_with_the_way_out(#[case] url: &str) {
        let error = ClientConfig::new(url).base_url().unwrap_err();
        assert!(error.to_string().contains("http://"), "{error}");
    }

    #[test]
    fn a_password_in_the_url_is_refused_and_not_repeated() {
        let error = ClientConfig::new("http://me:hunter2@example.org").base_url().unwrap_err();
        assert!(!error.to_string().contains("hunter2"), "{error}");
    }

    #[rstest]
    #[case("https://example.org", Carried::Encrypted)]
    #[case("http://localhost:8080", Carried::Locally)]
    #[case("http://[::1]:8080", Carried::Locally)]
    #[case("http://localhost.example.org", Carried::Openly)]
    #[case("http://10.0.0.1", Carried::Openly)]
    fn only_https_and_loopback_keep_a_token_secret(#[case] url: &str, #[case] carried: Carried) {
        assert_eq!(ClientConfig::new(url).carried().unwrap(), carried);
    }

    #[test]
    fn loopback_is_recognised() {
        for (url, expected) in [
            ("http://127.0.0.1:1", true),
            ("http://[::1]:1", true),
            ("http://localhost", true),
            ("http://a.b", false),
        ] {
            assert_eq!(is_loopback(&Url::parse(url).unwrap()), expected, "{url}");
        }
    }

    #[test]
    fn a_ca_file_without_certificates_is_refused() {
        let file = tempfile::NamedTempFile::new().unwrap();
        let mut config = ClientConfig::new("https://example.org");
        config.ca_file = Some(file.path().to_owned());
        let error = config.http_client(&config.base_url().unwrap()).unwrap_err();
        assert!(matches!(error, Error::CaFile { .. }), "{error}");
    }
}
