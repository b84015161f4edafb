//! Everything that can go wrong with a call.

use std::error::Error as StdError;
use std::io;
use std::path::PathBuf;
use std::time::Duration;

use minitower_vocabulary::wire::error::ErrorBody;

/// Why a call gave no answer to use.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The server URL is wrong.
    #[error("server URL `{url}`: {reason}; write it like http://127.0.0.1:8080")]
    Url {
        /// What was given.
        url: String,
        /// What is wrong with it.
        reason: String,
    },
    /// The file with trusted certificates cannot be used.
    #[error("CA file {}: {reason}", path.display())]
    CaFile {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// The HTTP client or a request could not be built.
    #[error("cannot set up the HTTP client: {reason}")]
    Setup {
        /// Why.
        reason: String,
    },
    /// No answer, or it broke off: whether the server carried the call out is unknown.
    #[error("cannot reach {origin}: {reason}{}", reason.way_out())]
    Transport {
        /// Scheme, host and port of the server.
        origin: String,
        /// What happened.
        reason: TransportReason,
    },
    /// The server refused.
    #[error("{message} ({status}{}{code})", if code.is_empty() { "" } else { " " })]
    Api {
        /// The HTTP status.
        status: u16,
        /// The server's word for programs; empty when the answer is not MiniTower's (a proxy in between).
        code: String,
        /// The server's sentence for people.
        message: String,
        /// How long to wait before asking again.
        retry_after: Option<Duration>,
    },
    /// The server answered something this client does not understand.
    #[error("{origin} gave an unexpected answer: {reason}; is it a MiniTower server of this version?")]
    Decode {
        /// Scheme, host and port of the server.
        origin: String,
        /// What does not fit.
        reason: String,
    },
    /// The archive of an upload cannot be read.
    #[error("cannot read {name}: {source}")]
    File {
        /// The archive's name.
        name: String,
        /// Why.
        source: io::Error,
    },
    /// The path of an artifact that no URL carries as it is: another one would be meant.
    #[error("artifact {path:?}: {reason}; give the file another name")]
    ArtifactPath {
        /// The path.
        path: String,
        /// What is wrong with it.
        reason: &'static str,
    },
    /// What is downloaded cannot be written.
    #[error("cannot write {name}: {source}")]
    Write {
        /// Where to.
        name: String,
        /// Why.
        source: io::Error,
    },
}

/// Why there was no answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum TransportReason {
    /// Nobody listens at the address.
    Refused,
    /// The host's name is unknown.
    UnknownHost,
    /// No connection in time.
    ConnectTimeout(Duration),
    /// Connected, but no (further) answer in time.
    AnswerTimeout(Duration),
    /// The server's certificate is not trusted.
    Certificate(String),
    /// TLS failed otherwise.
    Tls(String),
    /// The server closed the connection before the archive was sent; its answer, if any, was lost with it.
    UploadCut,
    /// Anything else, in the words of the system.
    Other(String),
}

impl TransportReason {
    fn way_out(&self) -> &'static str {
        match self {
            Self::Refused => "; is minitowerd running?",
            Self::UnknownHost => "; is the server URL right?",
            Self::ConnectTimeout(_) => "; is the address right, and no firewall in between?",
            Self::AnswerTimeout(_) | Self::Other(_) => "",
            Self::UploadCut => "; is the archive larger than the server takes?",
            Self::Certificate(_) => "; name the authority that signed it in MINITOWER_CA_FILE",
            Self::Tls(_) => "; does the server speak https at this address?",
        }
    }
}

impl std::fmt::Display for TransportReason {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Refused => f.write_str("connection refused"),
            Self::UnknownHost => f.write_str("the host's name cannot be resolved"),
            Self::ConnectTimeout(limit) => write!(f, "no connection within {limit:?}"),
            Self::AnswerTimeout(limit) => write!(f, "no answer within {limit:?}"),
            Self::Certificate(reason) | Self::Tls(reason) => write!(f, "TLS: {reason}"),
            Self::UploadCut => f.write_str("the connection was closed during the upload"),
            Self::Other(reason) => f.write_str(reason),
        }
    }
}

impl Error {
    /// The HTTP status, when the server answered with an error.
    pub fn status(&self) -> Option<u16> {
        match self {
            Self::Api { status, .. } => Some(*status),
            _ => None,
        }
    }

    /// The server's word for programs, when it sent one.
    pub fn code(&self) -> Option<&str> {
        match self {
            Self::Api { code, .. } if !code.is_empty() => Some(code),
            _ => None,
        }
    }

    /// How long the server asks to wait.
    pub fn retry_after(&self) -> Option<Duration> {
        match self {
            Self::Api { retry_after, .. } => *retry_after,
            _ => None,
        }
    }

    /// Whether no whole answer came, so that the call may or may not have been carried out.
    pub fn is_transport(&self) -> bool {
        matches!(self, Self::Transport { .. })
    }

    /// Whether the same call may succeed later: no answer, too many calls, or the server's own trouble. Whether
    /// the call may be repeated without harm is for the caller to know.
    pub fn is_retryable(&self) -> bool {
        match self {
            Self::Transport { .. } => true,
            Self::Api { status, .. } => matches!(status, 408 | 429 | 500..=599),
            _ => false,
        }
    }

    /// Classifies a failure of the HTTP library.
    pub(crate) fn from_reqwest(origin: &str, error: &reqwest::Error, connect_timeout: Duration) -> Self {
        if error.is_builder() {
            return Self::Setup { reason: innermost(error) };
        }
        let io_kind = find_source::<io::Error>(error).map(io::Error::kind);
        let reason = if let Some(tls) = find_tls(error) {
            match tls {
                rustls::Error::InvalidCertificate(_) => TransportReason::Certificate(tls.to_string()),
                tls => TransportReason::Tls(tls.to_string()),
            }
        } else if error.is_dns() {
            TransportReason::UnknownHost
        } else if error.is_timeout() {
            TransportReason::ConnectTimeout(connect_timeout)
        } else if io_kind == Some(io::ErrorKind::ConnectionRefused) {
            TransportReason::Refused
        } else {
            TransportReason::Other(innermost(error))
        };
        Self::Transport { origin: origin.to_owned(), reason }
    }

    /// Reads an error answer.
    pub(crate) fn from_answer(origin: &str, status: u16, retry_after: Option<Duration>, body: &[u8]) -> Self {
        if let Ok(ErrorBody { error }) = serde_json::from_slice(body) {
            return Self::Api { status, code: error.code, message: error.message, retry_after };
        }
        let message = if (300..400).contains(&status) {
            format!("{origin} redirects to another address; use the URL of the MiniTower server itself")
        } else {
            format!("{origin} answered without a MiniTower error; is a proxy in between, or the URL wrong?")
        };
        Self::Api { status, code: String::new(), message, retry_after }
    }
}

/// The last words of an error's chain: the library's own layers say nothing a person can use.
pub(crate) fn innermost(error: &dyn StdError) -> String {
    let mut current = error;
    while let Some(source) = current.source() {
        current = source;
    }
    current.to_string()
}

fn find_source<'a, T: StdError + 'static>(error: &'a (dyn StdError + 'static)) -> Option<&'a T> {
    let mut current = Some(error);
    while let Some(this) = current {
        if let Some(found) = this.downcast_ref::<T>() {
            return Some(found);
        }
        current = this.source();
    }
    None
}

/// TLS errors travel inside an `io::Error`, whose `source()` skips the error it wraps.
fn find_tls<'a>(error: &'a (dyn StdError + 'static)) -> Option<&'a rustls::Error> {
    let mut current = Some(error);
    while let Some(this) = current {
        if let Some(tls) = this.downcast_ref::<rustls::Error>() {
            return Some(tls);
        }
        let wrapped = this.downcast_ref::<io::Error>().and_then(io::Error::get_ref);
        if let Some(tls) = wrapped.and_then(|inner| inner.downcast_ref::<rustls::Error>()) {
            return Some(tls);
        }
        current = match wrapped {
            Some(inner) => Some(inner),
            None => this.source(),
        };
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_error_answer_is_read() {
        let body = br#"{"error":{"code":"gone","message":"the lease has expired"}}"#;
        let error = Error::from_answer("http://h", 410, None, body);
        assert_eq!(error.to_string(), "the lease has expired (410 gone)");
        assert_eq!((error.status(), error.code()), (Some(410), Some("gone")));
        assert!(!error.is_retryable() && !error.is_transport());
    }

    #[test]
    fn a_proxys_error_page_is_named_as_such() {
        let error = Error::from_answer("http://h", 502, None, b"<html>Bad Gateway</html>");
        assert!(error.to_string().contains("proxy") && error.to_string().ends_with("(502)"), "{error}");
        assert_eq!(error.code(), None);
        assert!(error.is_retryable());
    }

    #[test]
    fn no_answer_says_whether_to_look_at_the_server() {
        let error = Error::Transport { origin: "http://h:1".to_owned(), reason: TransportReason::Refused };
        assert_eq!(error.to_string(), "cannot reach http://h:1: connection refused; is minitowerd running?");
        assert!(error.is_retryable() && error.is_transport());
    }
}
