//! The program's life: start, serve, stop at a signal in two stages.

use minitower_daemon::signals::Signals;

use crate::{Config, Failure, Server, StartError, memory};

/// The program ended badly.
#[derive(Debug, thiserror::Error)]
pub enum RunError {
    /// It did not start.
    #[error(transparent)]
    Start(#[from] StartError),
    /// A part of it ended before its time.
    #[error(transparent)]
    Failure(#[from] Failure),
}

/// Runs the server until SIGTERM or SIGINT, then stops it: requests are finished. A second signal drops them.
pub async fn run(config: Config, mut signals: Signals) -> Result<(), RunError> {
    // A signal during the start ends the program in order too.
    let mut server = tokio::select! {
        started = Server::start(config) => started?,
        signal = signals.next() => {
            tracing::info!(signal = signal.as_str(), "stopped before the start");
            return Ok(());
        }
    };
    let small = tokio::spawn(memory::keep_small());
    let failure = tokio::select! {
        failure = server.failed() => {
            tracing::error!(error = &failure as &dyn std::error::Error, "stopping");
            if matches!(failure, Failure::Database(_)) {
                // Not one more answer: what it says may not be on disk. And no orderly end, which would wait for that disk.
                std::mem::forget(server);
                return Err(failure.into());
            }
            Some(failure)
        }
        signal = signals.next() => {
            tracing::info!(signal = signal.as_str(), "stopping");
            None
        }
    };
    small.abort();
    let abort = server.abort_token();
    let shutdown = server.shutdown();
    tokio::pin!(shutdown);
    let stopped = tokio::select! {
        stopped = &mut shutdown => stopped,
        signal = signals.next() => {
            tracing::warn!(signal = signal.as_str(), "stopping at once");
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
