//! What went wrong between the operator and a control plane, in a line that becomes a condition's message.

use std::fmt;

use minitower_client::Error;

/// Longest words of others that are passed on, in characters.
const MAX_QUOTED: usize = 300;

/// What sort of trouble it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ErrorKind {
    /// URL or certificates are wrong: nothing was sent.
    Configuration,
    /// No answer, or none in time.
    Unreachable,
    /// The token was refused (401), or may not do this (403).
    Unauthorized,
    /// No such call or runner (404): an older control plane, or a wrong URL.
    NotFound,
    /// The control plane's own trouble: 5xx, or too many calls.
    Server,
    /// An answer that cannot be read as a whole: cut off, or not a control plane's.
    Incomplete,
    /// Refused otherwise, redirects among it.
    Refused,
}

impl ErrorKind {
    /// The condition's reason, in Kubernetes' manner.
    pub const fn as_reason(self) -> &'static str {
        match self {
            Self::Configuration => "InvalidServer",
            Self::Unreachable => "Unreachable",
            Self::Unauthorized => "TokenRefused",
            Self::NotFound => "ServerTooOld",
            Self::Server => "ServerError",
            Self::Incomplete => "IncompleteAnswer",
            Self::Refused => "Refused",
        }
    }
}

/// Why a control plane gave no answer to go by. The text is one line: whom was asked, what came back, what to do. It never holds the token.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ControlPlaneError {
    server: String,
    kind: ErrorKind,
    said: String,
}

impl std::error::Error for ControlPlaneError {}

impl fmt::Display for ControlPlaneError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { server, kind, said } = self;
        write!(f, "control plane {server}: {said}{}", kind.way_out())
    }
}

impl ErrorKind {
    const fn way_out(self) -> &'static str {
        match self {
            Self::Configuration => "; correct spec.server",
            Self::Unreachable => "; is it running, and does a network policy let the operator through?",
            Self::Unauthorized => {
                "; put its operator token (MINITOWER_OPERATOR_TOKEN) into the Secret that operatorTokenSecretRef names"
            }
            Self::NotFound => "; is it older than this operator, or the URL not its own?",
            Self::Server => "; see its log",
            Self::Incomplete => "; does the URL lead to a MiniTower control plane itself?",
            Self::Refused => "",
        }
    }
}

impl ControlPlaneError {
    /// An error of the server at that URL, with what was said in one's own words.
    pub(crate) fn new(server: &str, kind: ErrorKind, said: impl fmt::Display) -> Self {
        Self { server: one_line(server), kind, said: one_line(&said.to_string()) }
    }

    /// An error of a call. What a server says is quoted, but for the token that it was sent.
    pub(super) fn of_call(server: &str, call: &str, token: &str, error: &Error) -> Self {
        let kind = match error {
            Error::Url { .. } | Error::CaFile { .. } | Error::Setup { .. } => ErrorKind::Configuration,
            Error::Transport { .. } => ErrorKind::Unreachable,
            Error::Decode { .. } => ErrorKind::Incomplete,
            Error::Api { status: 401 | 403, .. } => ErrorKind::Unauthorized,
            Error::Api { status: 404 | 405, .. } => ErrorKind::NotFound,
            Error::Api { status: 429 | 500..=599, .. } => ErrorKind::Server,
            Error::Api { .. } | Error::File { .. } | Error::Write { .. } | Error::ArtifactPath { .. } => {
                ErrorKind::Refused
            }
        };
        let mut said = match error {
            // Its own words name the server once more.
            Error::Transport { reason, .. } => reason.to_string(),
            Error::Decode { reason, .. } => format!("an unexpected answer, {reason}"),
            other => other.to_string(),
        };
        if !token.is_empty() {
            said = said.replace(token, "…");
        }
        Self::new(server, kind, format_args!("{call}: {said}"))
    }

    /// What sort of trouble it is.
    pub const fn kind(&self) -> ErrorKind {
        self.kind
    }
}

/// Words of others, made fit for a status field.
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

    fn refusal(status: u16, message: &str) -> Error {
        Error::Api { status, code: "unauthorized".to_owned(), message: message.to_owned(), retry_after: None }
    }

    #[test]
    fn a_refused_token_is_named_with_the_way_out_and_never_shown() {
        let error = refusal(401, "the token mto_secret\nis wrong");
        let error =
            ControlPlaneError::of_call("http://tower:8080", "GET /admin/runners", "mto_secret", &error);
        assert_eq!(error.kind(), ErrorKind::Unauthorized);
        assert_eq!(
            error.to_string(),
            "control plane http://tower:8080: GET /admin/runners: the token … is wrong (401 unauthorized); put its operator \
             token (MINITOWER_OPERATOR_TOKEN) into the Secret that operatorTokenSecretRef names"
        );
        assert!(!format!("{error:?}").contains("mto_secret"));
    }

    #[test]
    fn long_words_of_others_are_cut() {
        let error =
            ControlPlaneError::of_call("http://x", "GET /metrics", "", &refusal(500, &"x".repeat(9000)));
        assert_eq!(error.kind(), ErrorKind::Server);
        assert!(error.to_string().len() < 500, "{error}");
    }
}
