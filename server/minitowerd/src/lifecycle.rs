//! The program's life: start, serve, stop at a signal in two stages.

use nix::sys::resource::{Resource, getrlimit, setrlimit};
use tokio::signal::unix::{Signal, SignalKind, signal};

use crate::{Config, Failure, Server, StartError};

/// The program ended badly.
#[derive(Debug, thiserror::Error)]
pub enum RunError {
    /// It did not start.
    #[error(transparent)]
    Start(#[from] StartError),
    /// A part of it ended before its time.
    #[error(transparent)]
    Failure(#[from] Failure),
    /// Signals cannot be caught.
    #[error("cannot catch signals: {0}")]
    Signals(#[source] std::io::Error),
}

/// Runs the server until SIGTERM or SIGINT, then stops it: requests are finished. A second signal drops them.
pub async fn run(config: Config) -> Result<(), RunError> {
    // Before the start, so that a signal during it ends the program in order too.
    let mut signals = Signals::new().map_err(RunError::Signals)?;
    let mut server = tokio::select! {
        started = Server::start(config) => started?,
        name = signals.next() => {
            tracing::info!(signal = name, "stopped before the start");
            return Ok(());
        }
    };
    let failure = tokio::select! {
        failure = server.failed() => {
            tracing::error!(error = &failure as &dyn std::error::Error, "stopping");
            if matches!(failure, Failure::Database(_)) {
                // Not one more answer: what it says may not be on disk.
                return Err(failure.into());
            }
            Some(failure)
        }
        name = signals.next() => {
            tracing::info!(signal = name, "stopping");
            None
        }
    };
    let abort = server.abort_token();
    let shutdown = server.shutdown();
    tokio::pin!(shutdown);
    let stopped = tokio::select! {
        stopped = &mut shutdown => stopped,
        name = signals.next() => {
            tracing::warn!(signal = name, "stopping at once");
            abort.cancel();
            shutdown.await
        }
    };
    match (failure, stopped) {
        (Some(failure), _) | (None, Err(failure)) => Err(failure.into()),
        (None, Ok(())) => {
            tracing::info!("stopped");
            Ok(())
        }
    }
}

/// Allows the process as many open files as the system lets it have: every waiting runner is one.
pub fn raise_file_limit() {
    let raised = getrlimit(Resource::RLIMIT_NOFILE)
        .and_then(|(_, hard)| setrlimit(Resource::RLIMIT_NOFILE, hard, hard));
    if let Err(error) = raised {
        tracing::warn!(error = &error as &dyn std::error::Error, "the limit of open files stays as it is");
    }
}

/// The signals that end the program.
struct Signals {
    terminate: Signal,
    interrupt: Signal,
}

impl Signals {
    fn new() -> std::io::Result<Self> {
        Ok(Self { terminate: signal(SignalKind::terminate())?, interrupt: signal(SignalKind::interrupt())? })
    }

    async fn next(&mut self) -> &'static str {
        tokio::select! {
            _ = self.terminate.recv() => "SIGTERM",
            _ = self.interrupt.recv() => "SIGINT",
        }
    }
}
