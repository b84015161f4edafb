//! What a stopping runner says to the run it is carrying out.

use std::sync::{Arc, OnceLock};
use std::time::Instant;

use minitower_daemon::signals::Shutdown;
use tokio_util::sync::CancellationToken;

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
