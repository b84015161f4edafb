//! What went wrong between the operator and a control plane.
//!
//! The errors are typed and each says only its own level. [`ControlPlaneError::told`] joins them into the one line that people read in a
//! condition, an Event or the log.

use std::error::Error as StdError;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use minitower_client::{Error, TransportReason};
use minitower_daemon::errors::chain;

use super::exposition::ExpositionError;

/// The most of others' words that is passed on, in characters.
const MAX_QUOTED: usize = 300;

/// The kind of trouble, by what has to be done about it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ErrorKind {
    /// The URL, the certificates or the token are missing or wrong: nothing was sent.
    Configuration,
    /// The host's name cannot be resolved: no Service and no machine has it.
    UnknownHost,
    /// There was no answer, or none in time.
    Unreachable,
    /// The token was refused (401), or does not allow this (403).
    Unauthorized,
    /// There is no such call or runner (404): the control plane is older, or the URL is wrong.
    NotFound,
    /// The control plane itself has trouble (5xx), or gets too many calls (429).
    Server,
    /// The answer cannot be read as a whole: it was cut off, or is not a control plane's.
    Incomplete,
    /// The call was refused for another reason, including redirects.
    Refused,
}

impl ErrorKind {
    /// The reason of a condition, in the form that Kubernetes uses.
    pub const fn as_reason(self) -> &'static str {
        match self {
            Self::Configuration => "InvalidServer",
            Self::UnknownHost => "HostNotFound",
            Self::Unreachable => "Unreachable",
            Self::Unauthorized => "TokenRefused",
            Self::NotFound => "ServerTooOld",
            Self::Server => "ServerError",
            Self::Incomplete => "IncompleteAnswer",
            Self::Refused => "Refused",
        }
    }

    /// Whether only a person can mend it: it is no matter of time.
    pub const fn is_lasting(self) -> bool {
        match self {
            Self::Configuration | Self::Unauthorized => true,
            Self::UnknownHost
            | Self::Unreachable
            | Self::NotFound
            | Self::Server
            | Self::Incomplete
            | Self::Refused => false,
        }
    }

    /// What a person can do about it, as the end of a sentence.
    const fn way_out(self) -> &'static str {
        match self {
            Self::Configuration => "; correct spec.server",
            Self::UnknownHost => "; correct spec.server: there is no Service and no host of that name",
            Self::Unreachable => "; is it running, and does a network policy let the operator through?",
            Self::Unauthorized => {
                "; put its operator token (MINITOWER_OPERATOR_TOKEN) into the Secret that operatorTokenSecretRef names"
            }
            Self::NotFound => "; is it older than this operator, or is the URL wrong?",
            Self::Server => "; see its log",
            Self::Incomplete => "; does the URL lead to a MiniTower control plane itself?",
            Self::Refused => "",
        }
    }

    fn of(error: &Error) -> Self {
        match error {
            Error::Url { .. } | Error::CaFile { .. } | Error::Setup { .. } => Self::Configuration,
            Error::Transport { reason: TransportReason::UnknownHost, .. } => Self::UnknownHost,
            Error::Transport { .. } => Self::Unreachable,
            Error::Decode { .. } => Self::Incomplete,
            Error::Api { status: 401 | 403, .. } => Self::Unauthorized,
            Error::Api { status: 404 | 405, .. } => Self::NotFound,
            Error::Api { status: 429 | 500..=599, .. } => Self::Server,
            Error::Api { .. } | Error::File { .. } | Error::Write { .. } | Error::ArtifactPath { .. } => {
                Self::Refused
            }
        }
    }
}

/// A call to a control plane.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Call {
    /// How many runs wait.
    Demand,
    /// The same, of an older control plane.
    Metrics,
    /// What the runners do.
    Runners,
    /// Fencing a runner.
    Drain(String),
    /// Lifting a fence.
    Undrain(String),
    /// Reporting that a runner's process has ended.
    Ended(String),
    /// Forgetting a runner.
    Forget(String),
    /// Telling how a pool stands.
    ReportPool(String),
    /// Having a pool forgotten.
    ForgetPool(String),
    /// Making a pool's registration token.
    CreatePoolToken(String),
    /// Revoking a pool's registration tokens.
    DeletePoolToken(String),
}

impl fmt::Display for Call {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Demand => f.write_str("GET /api/v1/admin/demand"),
            Self::Metrics => f.write_str("GET /metrics"),
            Self::Runners => f.write_str("GET /api/v1/admin/runners"),
            Self::Drain(runner) => write!(f, "draining runner {runner}"),
            Self::Undrain(runner) => write!(f, "undraining runner {runner}"),
            Self::Ended(runner) => write!(f, "reporting the end of runner {runner}"),
            Self::Forget(runner) => write!(f, "forgetting runner {runner}"),
            Self::ReportPool(pool) => write!(f, "reporting pool {pool}"),
            Self::ForgetPool(pool) => write!(f, "forgetting pool {pool}"),
            Self::CreatePoolToken(pool) => write!(f, "making a registration token for pool {pool}"),
            Self::DeletePoolToken(pool) => write!(f, "revoking the registration token of pool {pool}"),
        }
    }
}

/// Why a control plane gave no answer to go by. Neither its text nor its causes ever hold the token. Cheap to clone.
#[derive(Debug, Clone, thiserror::Error)]
#[error("control plane {server}")]
pub struct ControlPlaneError {
    server: String,
    #[source]
    cause: Arc<Cause>,
}

/// What exactly failed.
#[derive(Debug, thiserror::Error)]
pub enum Cause {
    /// There is no token for it.
    #[error(transparent)]
    NoToken(Box<dyn StdError + Send + Sync>),
    /// The URL or the certificates cannot be used.
    #[error("its address cannot be used")]
    Setup(#[source] Error),
    /// A call failed.
    #[error("{call}")]
    Call {
        /// Which call.
        call: Call,
        /// How.
        source: Error,
    },
    /// The metrics cannot be read.
    #[error("{}", Call::Metrics)]
    Metrics(#[source] ExpositionError),
    /// The answers together took too long.
    #[error("no whole answer within {0:?}")]
    Deadline(Duration),
}

impl ControlPlaneError {
    /// An error of the server at that URL.
    pub(crate) fn new(server: &str, cause: Cause) -> Self {
        Self { server: one_line(server), cause: Arc::new(cause) }
    }

    /// There is no token for the server at that URL.
    pub fn without_token(server: &str, why: impl StdError + Send + Sync + 'static) -> Self {
        Self::new(server, Cause::NoToken(Box::new(why)))
    }

    /// An error of a call. What the server says is kept, without the token that it was sent.
    pub(super) fn of_call(server: &str, call: Call, token: &str, error: Error) -> Self {
        Self::new(server, Cause::Call { call, source: masked(error, token) })
    }

    /// The kind of trouble.
    pub fn kind(&self) -> ErrorKind {
        match &*self.cause {
            Cause::NoToken(_) | Cause::Setup(_) => ErrorKind::Configuration,
            Cause::Call { source, .. } => ErrorKind::of(source),
            Cause::Metrics(_) => ErrorKind::Incomplete,
            Cause::Deadline(_) => ErrorKind::Unreachable,
        }
    }

    /// One line for people: which server was asked, what came back, and what to do.
    pub fn told(&self) -> String {
        let server = &self.server;
        let words = match &*self.cause {
            Cause::NoToken(why) => {
                return format!("control plane {server}: {}", one_line(&chain(&**why)));
            }
            Cause::Setup(error) => in_short(error),
            Cause::Call { call, source } => format!("{call}: {}", in_short(source)),
            cause => chain(cause),
        };
        format!("control plane {server}: {}{}", one_line(&words), self.kind().way_out())
    }
}

/// A failed call in words that do not name the server, which stands before them.
fn in_short(error: &Error) -> String {
    match error {
        Error::Transport { reason, .. } => reason.to_string(),
        Error::Decode { reason, .. } => format!("an unexpected answer, {reason}"),
        Error::Url { reason, .. } => reason.clone(),
        other => chain(other),
    }
}

/// Takes the token out of what a server said.
fn masked(error: Error, token: &str) -> Error {
    if token.is_empty() {
        return error;
    }
    let mask = |text: String| text.replace(token, "…");
    match error {
        Error::Api { status, code, message, retry_after } => {
            Error::Api { status, code: mask(code), message: mask(message), retry_after }
        }
        Error::Decode { origin, reason } => Error::Decode { origin, reason: mask(reason) },
        Error::Transport { origin, reason: TransportReason::Other(words) } => {
            Error::Transport { origin, reason: TransportReason::Other(mask(words)) }
        }
        other => other,
    }
}

/// Others' words, made fit for a field of a status.
fn one_line(text: &str) -> String {
    let mut line: String =
        text.chars().take(MAX_QUOTED).map(|c| if c.is_control() { ' ' } else { c }).collect();
    if text.chars().nth(MAX_QUOTED).is_some() {
        line.push('…');
    }
    line
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(status: u16, message: &str) -> ControlPlaneError {
        let error = Error::Api {
            status,
            code: "unauthorized".to_owned(),
            message: message.to_owned(),
            retry_after: None,
        };
        ControlPlaneError::of_call("http://tower:8080", Call::Runners, "mto_secret", error)
    }

    #[test]
    fn a_refused_token_is_named_with_the_way_out_and_never_shown() {
        let error = refused(401, "the token mto_secret\nis wrong");
        assert_eq!(error.kind(), ErrorKind::Unauthorized);
        assert_eq!(
            error.told(),
            "control plane http://tower:8080: GET /api/v1/admin/runners: the token … is wrong (401 unauthorized); put its operator \
             token (MINITOWER_OPERATOR_TOKEN) into the Secret that operatorTokenSecretRef names"
        );
        assert!(!format!("{error:?} {}", chain(&error)).contains("mto_secret"));
    }

    #[test]
    fn each_level_says_its_own_part_and_the_causes_are_its_sources() {
        let error = refused(500, "the disk is full");
        assert_eq!(error.to_string(), "control plane http://tower:8080");
        assert_eq!(
            chain(&error),
            "control plane http://tower:8080: GET /api/v1/admin/runners: the disk is full (500 unauthorized)"
        );
    }

    #[test]
    fn a_missing_token_is_told_without_a_way_out_of_its_own() {
        let why = std::io::Error::other("Secret a/b does not exist: create it");
        let error = ControlPlaneError::without_token("http://tower", why);
        assert_eq!(error.told(), "control plane http://tower: Secret a/b does not exist: create it");
        assert_eq!(error.kind(), ErrorKind::Configuration);
    }

    #[test]
    fn long_words_of_others_are_cut() {
        let error = refused(500, &"x".repeat(9000));
        assert_eq!(error.kind(), ErrorKind::Server);
        assert!(error.told().len() < 500, "{}", error.told());
    }
}
