//! What a person sees when something goes wrong: what failed, why, and what to do; and the exit code.

use std::borrow::Cow;
use std::error::Error as StdError;
use std::fmt::Display;
use std::io::ErrorKind;
use std::process::ExitCode;

use minitower_client::wire::runs::RunStatus;
use minitower_client::{Error, TransportReason};
use minitower_daemon::errors::chain;
use minitower_daemon::logs;
use serde_json::{Value, json};

use crate::kubectl::{self, Called};
use crate::output::{OutputError, Style, clean};

/// How a command ends that has done its work.
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

    /// The end of a command that watched a run end in `status`.
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

/// An error that a command may end with, and what it says to a person beside its text.
pub trait Explained: StdError + Send + Sync + 'static {
    /// What to do about it. Commands are quoted: `` `minitower login` ``.
    fn help(&self) -> Option<Cow<'static, str>> {
        None
    }

    /// The exit code.
    fn code(&self) -> u8 {
        1
    }
}

/// Why a command could not do its work: an error, with what a person can do about it.
#[derive(Debug)]
pub struct Failure {
    error: Box<dyn StdError + Send + Sync>,
    help: Option<Cow<'static, str>>,
    code: u8,
}

impl<E: Explained> From<E> for Failure {
    fn from(error: E) -> Self {
        Self { help: error.help(), code: error.code(), error: Box::new(error) }
    }
}

impl Failure {
    /// A failure of another library, about which nothing more can be said.
    pub fn of(error: impl Into<Box<dyn StdError + Send + Sync>>) -> Self {
        Self { error: error.into(), help: None, code: 1 }
    }

    /// Says what to do, in place of something more general.
    #[must_use]
    pub fn help(mut self, help: impl Display) -> Self {
        self.help = Some(help.to_string().into());
        self
    }

    /// Says what to do if the server answered that something does not exist.
    #[must_use]
    pub fn help_not_found(self, help: impl Display) -> Self {
        if self.code == NOT_FOUND { self.help(help) } else { self }
    }

    /// Whether the server refused the token.
    pub fn is_refused_token(&self) -> bool {
        self.error.downcast_ref::<Error>().is_some_and(|error| error.status() == Some(401))
    }

    /// The number the shell sees.
    pub fn code(&self) -> u8 {
        self.code
    }

    /// The number the shell sees, after this failure was told on standard error. A reader that has closed the pipe
    /// (`minitower … | head`) has all that it wanted: that is a success, and nothing is told.
    pub fn tell(&self, json: bool, style: Style) -> ExitCode {
        if self.is_closed_pipe() {
            return Exit::Success.into();
        }
        if json {
            logs::say(self.as_json());
        } else {
            self.print(style);
        }
        ExitCode::from(self.code)
    }

    fn is_closed_pipe(&self) -> bool {
        if let Some(output) = self.error.downcast_ref::<OutputError>() {
            return output.is_closed_pipe();
        }
        let written = self.error.downcast_ref::<Error>();
        matches!(written, Some(Error::Write { source, .. }) if source.kind() == ErrorKind::BrokenPipe)
    }

    /// One object for programs, shaped like the errors of the API.
    fn as_json(&self) -> Value {
        let mut error = json!({
            "message": chain(&*self.error),
            "exit_code": self.code,
            "meaning": meaning(self.code),
        });
        if let Some(answer) = self.error.downcast_ref::<Error>() {
            answer.code().into_iter().for_each(|code| error["code"] = code.into());
            answer.status().into_iter().for_each(|status| error["status"] = status.into());
        }
        self.help.iter().for_each(|help| error["help"] = kubectl::retold(help).into());
        json!({ "error": error })
    }

    /// Writes one or two lines on standard error.
    fn print(&self, style: Style) {
        logs::say(format_args!("{} {}", style.bad("error:"), clean(&chain(&*self.error))));
        if let Some(help) = &self.help {
            logs::say(format_args!("{} {}", style.dim("help:"), kubectl::retold(help)));
        }
    }
}

impl Display for Failure {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&chain(&*self.error))?;
        self.help.iter().try_for_each(|help| write!(f, "; {help}"))
    }
}

const UNAUTHORIZED: u8 = 10;
/// Something does not exist.
pub const NOT_FOUND: u8 = 11;
const CONFLICT: u8 = 12;
const GONE: u8 = 13;
const UNREACHABLE: u8 = 14;

/// What an exit code of a failure says, for programs.
pub const fn meaning(code: u8) -> &'static str {
    match code {
        UNAUTHORIZED => "not_allowed",
        NOT_FOUND => "not_found",
        CONFLICT => "conflict",
        GONE => "gone",
        UNREACHABLE => "server_unreachable",
        _ => "failed",
    }
}

const fn code_of_status(status: u16) -> u8 {
    match status {
        401 | 403 => UNAUTHORIZED,
        404 => NOT_FOUND,
        409 => CONFLICT,
        410 => GONE,
        _ => 1,
    }
}

impl Explained for Error {
    fn help(&self) -> Option<Cow<'static, str>> {
        Some(Cow::Borrowed(match self {
            Self::Api { status: 401, .. } => "run `minitower login` for a new token",
            Self::Api { status: 403, .. } => "ask an admin of the team, or use an admin's token",
            Self::Api { status: 429, retry_after: Some(wait), .. } => {
                return Some(format!("try again in {} s", wait.as_secs()).into());
            }
            Self::Api { status: 429, .. } => "try again later",
            Self::Api { status: 500..=599, .. } => "look at the server's log; it names the request",
            Self::Transport { reason: TransportReason::Refused | TransportReason::UnknownHost, .. }
            | Self::Url { .. } => match Called::from_process() {
                Called::Plugin => kubectl::NO_ANSWER,
                _ => "name another server with --server, or start one with `minitower dev`",
            },
            _ => return None,
        }))
    }

    fn code(&self) -> u8 {
        match self {
            // The server was there, and closed the connection on an archive that it does not want.
            Self::Transport { reason: TransportReason::UploadCut, .. } => 1,
            Self::Transport { .. } => UNREACHABLE,
            // Not from the server: a proxy that cannot reach it, or another program. It says nothing of what was asked for.
            Self::Api { code, .. } if code.is_empty() => UNREACHABLE,
            _ => self.status().map_or(1, code_of_status),
        }
    }
}

impl Explained for OutputError {}

#[cfg(test)]
mod tests {
    use std::io;

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
    #[case(TransportReason::Refused, 14)]
    #[case(TransportReason::UnknownHost, 14)]
    #[case(TransportReason::Other("connection reset".to_owned()), 14)]
    #[case(TransportReason::UploadCut, 1)]
    fn a_server_out_of_reach_has_an_exit_code_of_its_own(#[case] reason: TransportReason, #[case] code: u8) {
        let failure = Failure::from(Error::Transport { origin: "http://h".to_owned(), reason });
        assert_eq!(failure.code(), code);
    }

    #[rstest]
    #[case("", 14)]
    #[case("unavailable", 1)]
    fn a_proxy_without_a_server_behind_it_is_out_of_reach(#[case] code: &str, #[case] exit: u8) {
        let (code, message) = (code.to_owned(), "m".to_owned());
        let failure = Failure::from(Error::Api { status: 503, code, message, retry_after: None });
        assert_eq!(failure.code(), exit);
    }

    #[test]
    fn programs_get_an_object_with_the_meaning_of_the_exit_code() {
        let told = answered(404).help("list them").as_json();
        let error = json!({"message": "m (404 x)", "code": "x", "status": 404, "exit_code": 11,
            "meaning": "not_found", "help": "list them"});
        assert_eq!(told, json!({ "error": error }));
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
    fn an_error_is_told_with_its_sources_and_nothing_twice() {
        let closed = || io::Error::new(io::ErrorKind::BrokenPipe, "closed");
        let failure = Failure::from(OutputError::from(closed()));
        assert_eq!(failure.to_string(), "cannot write the output: closed");
        assert!(failure.is_closed_pipe());
        let file = Error::File { name: "a.tgz".to_owned(), source: closed() };
        assert_eq!(Failure::from(file).to_string(), "cannot read a.tgz: closed");
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
