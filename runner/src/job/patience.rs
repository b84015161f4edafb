//! How long the runner goes on calling a control plane that does not answer, or answers with trouble of its own.

use std::time::{Duration, Instant};

use minitower_client::Error;
use minitower_daemon::backoff::Backoff;
use tokio_util::sync::CancellationToken;

use crate::calls::AttemptCalls;
use crate::steps::Stopping;

/// Answers of trouble after which a call is given up: with the pauses between them, after 15 to 30 seconds.
const MOST_ANSWERS: u32 = 6;
/// How long a control plane is waited for that says that it is not available: its disk is full, or its object store is away. Files wait
/// in the workspace meanwhile, under the lease.
const UNAVAILABLE_FOR: Duration = Duration::from_mins(10);
/// Pauses between them.
const SHORTEST_PAUSE: Duration = Duration::from_millis(500);
const LONGEST_PAUSE: Duration = Duration::from_secs(8);
/// How long a stopping runner goes on delivering the log and the result after its grace.
const STOPPING_DELIVERY: Duration = Duration::from_secs(10);
/// The same when it stops at once.
const AT_ONCE_DELIVERY: Duration = Duration::from_secs(1);
/// For how many leases without an answer a stopping runner goes on reporting the end of its run: five minutes with leases of one.
/// By then a control plane that starts again on another node is back, with its volume. One that was uninstalled never
/// comes back, and a namespace that is being deleted waits for its pods.
const UNANSWERED_LEASES: u32 = 5;

/// Tells trouble that passes from trouble that stays. A control plane that cannot be reached, or whose proxy answers for it, is
/// waited for: the lease and the run's timeout bound that. One that says that it is not available is waited for too, for a while. One that
/// answers otherwise has a few more chances.
#[derive(Debug)]
pub(super) struct Patience {
    backoff: Backoff,
    answers: u32,
    /// When it said for the first time that it is not available.
    unavailable: Option<Instant>,
    /// Whether it has been waited for long enough.
    spent: bool,
}

impl Patience {
    pub(super) fn new() -> Self {
        Self {
            backoff: Backoff::new(SHORTEST_PAUSE, LONGEST_PAUSE),
            answers: 0,
            unavailable: None,
            spent: false,
        }
    }

    /// Another call begins. It has chances of its own, but what waits for the same store waits together.
    pub(super) fn next_call(&mut self) {
        self.answers = 0;
    }

    /// Whether the control plane was not available for so long that other calls are in vain too.
    pub(super) fn is_spent(&self) -> bool {
        self.spent
    }

    /// Waits until the call that failed is worth another attempt; `false`: it is not.
    pub(super) async fn again(&mut self, error: &Error) -> bool {
        if !self.goes_on(error, Instant::now()) {
            return false;
        }
        self.backoff.pause().await;
        true
    }

    fn goes_on(&mut self, error: &Error, now: Instant) -> bool {
        if error.status() == Some(503) && error.code() == Some("unavailable") {
            self.spent = now - *self.unavailable.get_or_insert(now) >= UNAVAILABLE_FOR;
            return !self.spent;
        }
        let passes = error.is_retryable() || matches!(error.status(), Some(401 | 404));
        // A proxy's own page has no code.
        let is_away = error.is_transport() || (error.is_retryable() && error.code().is_none());
        self.answers += u32::from(!is_away);
        passes && self.answers < MOST_ANSWERS
    }
}

/// Returns when a stopping runner may give up telling the control plane about a job that has ended: a while after its grace, or
/// when no call was answered for several leases of `length`.
pub(super) async fn given_up(calls: &AttemptCalls, length: Duration, stopping: &Stopping) {
    let unanswered = async {
        let since = stopping.seen().await;
        calls.unanswered(length.saturating_mul(UNANSWERED_LEASES), since).await;
    };
    tokio::select! {
        () = unanswered => {}
        () = after(&stopping.grace_over, STOPPING_DELIVERY) => {}
        () = after(&stopping.at_once, AT_ONCE_DELIVERY) => {}
    }
}

/// Returns `duration` after the token was cancelled.
async fn after(token: &CancellationToken, duration: Duration) {
    token.cancelled().await;
    tokio::time::sleep(duration).await;
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answer(status: u16, code: &str) -> Error {
        Error::Api { status, code: code.to_owned(), message: "no".to_owned(), retry_after: None }
    }

    fn tries(error: &Error) -> usize {
        let mut patience = Patience::new();
        (1..1000).find(|_| !patience.goes_on(error, Instant::now())).unwrap_or(1000)
    }

    #[test]
    fn a_control_plane_that_is_not_available_is_waited_for_a_while() {
        let (mut patience, now) = (Patience::new(), Instant::now());
        let away = answer(503, "unavailable");
        assert!((0..100).all(|seconds| patience.goes_on(&away, now + Duration::from_secs(seconds))));
        assert!(!patience.goes_on(&away, now + UNAVAILABLE_FOR));
    }

    #[test]
    fn files_that_wait_for_the_same_store_wait_together() {
        let (mut patience, now) = (Patience::new(), Instant::now());
        let away = answer(503, "unavailable");
        assert!(patience.goes_on(&away, now));
        patience.next_call();
        assert!(patience.goes_on(&away, now + UNAVAILABLE_FOR / 2) && !patience.is_spent());
        patience.next_call();
        assert!(!patience.goes_on(&away, now + UNAVAILABLE_FOR) && patience.is_spent());
    }

    #[test]
    fn answers_of_the_control_plane_are_bounded_and_its_absence_is_not() {
        assert_eq!(tries(&answer(404, "not_found")), 6);
        assert_eq!(tries(&answer(500, "internal")), 6);
        assert_eq!(tries(&answer(401, "unauthorized")), 6);
        assert_eq!(tries(&answer(400, "invalid_request")), 1);
        assert_eq!(tries(&answer(502, "")), 1000, "a proxy's");
        let refused = Error::Transport {
            origin: "http://h".to_owned(),
            reason: minitower_client::TransportReason::Refused,
        };
        assert_eq!(tries(&refused), 1000);
    }
}
