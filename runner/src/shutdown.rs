//! Stopping in two steps: first let the run finish, then at once.

use std::sync::{Arc, OnceLock};
use std::time::Instant;

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

/// What a stopping runner says to the run it is carrying out. Cheap to clone.
#[derive(Debug, Clone, Default)]
pub(crate) struct Stopping {
    /// No further run is taken.
    pub(crate) stop: CancellationToken,
    /// When that was first asked for.
    stop_seen: Arc<OnceLock<Instant>>,
    /// The shutdown grace is over: stop the job, give the run back.
    pub(crate) grace_over: CancellationToken,
    /// Give the run back at once.
    pub(crate) at_once: CancellationToken,
}

impl Stopping {
    /// As `shutdown` says; the grace is its caller's.
    pub(crate) fn by(shutdown: &Shutdown) -> Self {
        Self { stop: shutdown.stop.clone(), at_once: shutdown.at_once.clone(), ..Self::default() }
    }

    /// Waits until no further run is taken. Yields the same moment each time, that of the first answer.
    pub(crate) async fn seen(&self) -> Instant {
        self.stop.cancelled().await;
        *self.stop_seen.get_or_init(Instant::now)
    }
}
