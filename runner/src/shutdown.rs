//! Stopping in two steps: first let the run finish, then at once.

use minitower_daemon::signals::Signals;
use tokio_util::sync::CancellationToken;

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
    pub fn on_signals(mut signals: Signals) -> Self {
        let shutdown = Self::default();
        let steps = shutdown.clone();
        tokio::spawn(async move {
            for step in [steps.stop, steps.at_once] {
                signals.next().await;
                step.cancel();
            }
        });
        shutdown
    }
}
