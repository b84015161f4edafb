//! What a person sees when something went wrong: the thing, the reason, the way out; and the exit code.

use std::fmt::Display;
use std::io;
use std::process::ExitCode;

use minitower_client::wire::runs::RunStatus;
use minitower_client::{Error, TransportReason};
use minitower_daemon::logs;

use crate::kubectl::{self, Called};
use crate::output::{Style, clean};

/// How a command that did its work ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Exit {
    /// Well; a watched run completed.
    Success,
    /// A watched run failed or is dead.
    Failed,
    /// A watched run was cancelled.
    Cancelled,
    /// Ctrl-C.
    Interrupted,
}

impl Exit {
    /// The number the shell sees.
    pub const fn code(self) -> u8 {
        match self {
            Self::Success => 0,
            Self::Failed => 1,
            Self::Cancelled => 2,
            // 128 + SIGINT, as shells have it.
            Self::Interrupted => 130,
        }
    }

    /// How watching a run that ended in `status` ends.
    pub const fn of_run(status: RunStatus) -> Self {
        match status {
            RunStatus::Completed => Self::Success,
            RunStatus::Cancelled => Self::Cancelled,
            _ => Self::Failed,
        }
    }
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(exit.code())
    }
}

/// Why a command could not do its work.
#[derive(Debug)]
pub struct Failure {
    message: String,
    help: Option<String>,
    code: u8,
    silent: bool,
}

impl Failure {
    /// A failure with exit code 1. The message names the thing and the reason.
    pub fn new(message: impl Display) -> Self {
        Self { message: message.to_string(), help: None, code: 1, silent: false }
    }

    /// Adds the way out, in place of a more general one.
    #[must_use]
    pub fn help(mut self, help: impl Display) -> Self {
        self.help = Some(help.to_string());
        self
    }

    /// Adds the way out when the server said that something does not exist.
    #[must_use]
    pub fn help_not_found(self, help: impl Display) -> Self {
        if self.code == NOT_FOUND { self.help(help) } else { self }
    }

    /// The number the shell sees.
    pub fn code(&self) -> u8 {
        self.code
    }

    /// The number the shell sees.
    pub fn exit_code(&self) -> ExitCode {
        ExitCode::from(self.code)
    }

    /// Writes one or two lines on standard error.
    pub fn print(&self, style: Style) {
        if self.silent {
            return;
        }
        logs::say(format_args!("{} {}", style.bad("error:"), self.message));
        if let Some(help) = &self.help {
            logs::say(format_args!("{} {}", style.dim("help:"), kubectl::retold(help)));
        }
    }
}

impl Display for Failure {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.message)?;
        self.help.iter().try_for_each(|help| write!(f, "; {help}"))
    }
}

const UNAUTHORIZED: u8 = 10;
const NOT_FOUND: u8 = 11;
const CONFLICT: u8 = 12;
const GONE: u8 = 13;

const fn code_of_status(status: u16) -> u8 {
    match status {
        401 | 403 => UNAUTHORIZED,
        404 => NOT_FOUND,
        409 => CONFLICT,
        410 => GONE,
        _ => 1,
    }
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        let help = match &error {
            Error::Api { status: 401, .. } => Some("run `minitower login` for a new token".to_owned()),
            Error::Api { status: 403, .. } => {
                Some("ask an admin of the team, or use an admin's token".to_owned())
            }
            Error::Api { status: 429, retry_after, .. } => Some(match retry_after {
                Some(wait) => format!("try again in {} s", wait.as_secs()),
                None => "try again later".to_owned(),
            }),
            Error::Api { status: 500..=599, .. } => {
                Some("look at the server's log; it names the request".to_owned())
            }
            Error::Transport { reason: TransportReason::Refused | TransportReason::UnknownHost, .. }
            | Error::Url { .. } => Some(
                match Called::from_process() {
                    Called::Plugin => kubectl::NO_ANSWER,
                    _ => "name another server with --server, or start one with `minitower dev`",
                }
                .to_owned(),
            ),
            _ => None,
        };
        Self {
            code: error.status().map_or(1, code_of_status),
            message: clean(&error.to_string()),
            help,
            silent: false,
        }
    }
}

/// Writing output failed. A closed pipe (`minitower … | head`) is nobody's error and passes in silence.
impl From<io::Error> for Failure {
    fn from(error: io::Error) -> Self {
        let silent = error.kind() == io::ErrorKind::BrokenPipe;
        Self { silent, ..Self::new(format!("cannot write the output: {error}")) }
    }
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    fn answered(status: u16) -> Failure {
        Error::Api { status, code: "x".to_owned(), message: "m".to_owned(), retry_after: None }.into()
    }

    #[rstest]
    #[case(400, 1)]
    #[case(401, 10)]
    #[case(403, 10)]
    #[case(404, 11)]
    #[case(409, 12)]
    #[case(410, 13)]
    #[case(429, 1)]
    #[case(500, 1)]
    fn the_exit_code_follows_the_status(#[case] status: u16, #[case] code: u8) {
        assert_eq!(answered(status).code(), code);
    }

    #[rstest]
    #[case(RunStatus::Completed, 0)]
    #[case(RunStatus::Failed, 1)]
    #[case(RunStatus::Dead, 1)]
    #[case(RunStatus::Cancelled, 2)]
    fn the_exit_code_follows_the_run(#[case] status: RunStatus, #[case] code: u8) {
        assert_eq!(Exit::of_run(status).code(), code);
    }

    #[test]
    fn a_refused_token_leads_to_login() {
        assert!(answered(401).to_string().contains("minitower login"));
    }

    #[test]
    fn the_way_out_of_not_found_is_for_404_only() {
        assert!(answered(404).help_not_found("list them").to_string().ends_with("list them"));
        assert!(!answered(409).help_not_found("list them").to_string().contains("list them"));
    }
}
