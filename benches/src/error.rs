//! What can go wrong with a measurement.

use std::io;
use std::path::PathBuf;

/// A measurement that cannot be trusted or could not be made.
#[derive(Debug, thiserror::Error)]
pub enum BenchError {
    /// The operating system refused something.
    #[error("{what}: {source}")]
    Io {
        /// What was being done.
        what: String,
        /// Why it failed.
        source: io::Error,
    },
    /// The server answered something else than the load expects.
    #[error("{call} was answered {status}: {body}")]
    Answer {
        /// The call.
        call: String,
        /// The status.
        status: u16,
        /// The body.
        body: String,
    },
    /// The server's answer is not HTTP/1.1 with a length.
    #[error("an answer cannot be read: {0}")]
    Http(String),
    /// The server closed a connection that owed an answer.
    #[error("the server closed a connection that owed an answer")]
    Cut,
    /// Nothing came in time.
    #[error("{what} did not happen within {seconds} s")]
    Late {
        /// What was waited for.
        what: String,
        /// How long.
        seconds: u64,
    },
    /// The program ended.
    #[error("{program} ended ({status}); its log: {log}")]
    Ended {
        /// The program.
        program: PathBuf,
        /// How.
        status: String,
        /// The end of its log.
        log: String,
    },
    /// What was counted here is not what the server counted.
    #[error("{what}: {here} were counted here and {there} by the server")]
    Miscounted {
        /// What was counted.
        what: &'static str,
        /// Here.
        here: u64,
        /// By the server.
        there: u64,
    },
    /// The call makes no sense.
    #[error("{0}")]
    Usage(String),
}

impl BenchError {
    /// For `map_err` on input and output.
    pub fn io(what: impl Into<String>) -> impl FnOnce(io::Error) -> Self {
        let what = what.into();
        move |source| Self::Io { what, source }
    }
}
