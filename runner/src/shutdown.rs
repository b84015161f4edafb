//! Stopping in two steps: first let the run finish, then at once.

use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::CancellationToken;

use crate::error::RunnerError;

/// Tells the agent to stop. Cheap to clone.
#[derive(Debug, Clone, Default)]
pub struct Shutdown {
    /// Take no more work; the current run may go on for the shutdown grace.
    pub stop: CancellationToken,
    /// Give the current run back and end.
    pub at_once: CancellationToken,
}

impl Shutdown {
    /// Stops at the first SIGTERM or SIGINT of this process, and at once at the second.
    pub fn on_signals() -> Result<Self, RunnerError> {
        let shutdown = Self::default();
        let listen = |kind| signal(kind).map_err(|error| RunnerError::Internal(format!("signals: {error}")));
        let mut terminate = listen(SignalKind::terminate())?;
        let mut interrupt = listen(SignalKind::interrupt())?;
        let steps = shutdown.clone();
        tokio::spawn(async move {
            for step in [steps.stop, steps.at_once] {
                tokio::select! {
                    _ = terminate.recv() => {}
                    _ = interrupt.recv() => {}
                }
                step.cancel();
            }
        });
        Ok(shutdown)
    }
}
