//! The task that extends a lease.

use std::time::Duration;

use minitower_client::Error;
use minitower_client::wire::runner::AttemptState;
use minitower_daemon::backoff::Backoff;
use tokio::sync::watch;
use tokio::task::JoinHandle;

use super::{deadline, heartbeat_interval};
use crate::calls::AttemptCalls;
use crate::clock::{BootTime, sleep_until};

/// Bounds of the time one heartbeat may take.
const SHORTEST_CALL: Duration = Duration::from_millis(500);
const LONGEST_CALL: Duration = Duration::from_secs(10);

/// Where an attempt stands. The order matters: it only moves on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Standing {
    /// No heartbeat has confirmed the lease yet. How much of it is left is unknown, because a poll may be answered long after it
    /// was sent.
    Unconfirmed,
    /// The lease is held.
    Held,
    /// The lease is held, and the job is to be stopped.
    CancelRequested,
    /// The lease could not be extended in time.
    Lapsed,
    /// The server says that the attempt is over.
    Gone,
}

/// Sends heartbeats until dropped.
#[derive(Debug)]
pub(crate) struct Keeper {
    standing: watch::Sender<Standing>,
    deadline: watch::Receiver<BootTime>,
    task: JoinHandle<()>,
}

impl Keeper {
    /// Begins at once with a heartbeat. Until the first is answered `confirm_by` is the deadline.
    pub(crate) fn start(
        calls: AttemptCalls,
        length: Duration,
        confirm_by: BootTime,
        cancelled: bool,
    ) -> Self {
        let standing = watch::Sender::new(Standing::Unconfirmed);
        if cancelled {
            standing.send_replace(Standing::CancelRequested);
        }
        let (extended, deadline) = watch::channel(confirm_by);
        let task = tokio::spawn(keep(calls, length, standing.clone(), extended));
        Self { standing, deadline, task }
    }

    /// Until when the job may run, as it is extended.
    pub(crate) fn deadline(&self) -> watch::Receiver<BootTime> {
        self.deadline.clone()
    }

    /// Whether the server has said that the attempt is over.
    pub(crate) fn is_gone(&self) -> bool {
        *self.standing.borrow() == Standing::Gone
    }

    /// Waits until the attempt stands at `least` or beyond.
    pub(crate) async fn reaches(&self, least: Standing) -> Standing {
        let mut standing = self.standing.subscribe();
        match standing.wait_for(|standing| *standing >= least).await {
            Ok(reached) => *reached,
            // This cannot happen: this value owns the sender.
            Err(_) => Standing::Lapsed,
        }
    }

    /// Notes where the attempt stands, as another call has learnt.
    pub(crate) fn advance(&self, to: Standing) {
        advance(&self.standing, to);
    }
}

impl Drop for Keeper {
    fn drop(&mut self) {
        self.task.abort();
    }
}

fn advance(standing: &watch::Sender<Standing>, to: Standing) {
    standing.send_if_modified(|current| {
        let further = to > *current;
        if further {
            *current = to;
        }
        further
    });
}

/// However the task ends, nobody extends the lease afterwards.
struct LastWords<'s>(&'s watch::Sender<Standing>);

impl Drop for LastWords<'_> {
    fn drop(&mut self) {
        if std::thread::panicking() {
            tracing::error!("the task that keeps the lease failed; the run goes back to the queue");
        }
        advance(self.0, Standing::Lapsed);
    }
}

async fn keep(
    calls: AttemptCalls,
    mut length: Duration,
    standing: watch::Sender<Standing>,
    extended: watch::Sender<BootTime>,
) {
    let _last_words = LastWords(&standing);
    let mut backoff = None;
    loop {
        let until = *extended.borrow();
        if until.has_passed() {
            advance(&standing, Standing::Lapsed);
            return;
        }
        let sent = BootTime::now();
        let timeout = heartbeat_interval(length).clamp(SHORTEST_CALL, LONGEST_CALL);
        // An answer after the deadline is of no use, and a runner that was frozen must not send a late heartbeat.
        let heartbeat = tokio::select! {
            answer = calls.call(timeout, |attempt| async move { attempt.heartbeat().await }) => answer,
            () = sleep_until(until) => continue,
        };
        match heartbeat {
            Ok(state) => {
                backoff = None;
                if let Some(milliseconds) = state.lease_ttl_ms {
                    length = Duration::from_millis(milliseconds);
                }
                let until = deadline(sent, length);
                extended.send_replace(until);
                advance(&standing, standing_of(&state));
                sleep_until(sent.plus(heartbeat_interval(length)).min(until)).await;
            }
            Err(error) if error.status() == Some(410) => {
                advance(&standing, Standing::Gone);
                return;
            }
            Err(error) => {
                report(&error, until);
                let longest = (length / 20).clamp(Duration::from_millis(50), Duration::from_secs(2));
                let pause = backoff
                    .get_or_insert_with(|| Backoff::new(Duration::from_millis(50), longest))
                    .next_pause();
                sleep_until(BootTime::now().plus(pause).min(until)).await;
            }
        }
    }
}

fn standing_of(state: &AttemptState) -> Standing {
    if state.cancel_requested { Standing::CancelRequested } else { Standing::Held }
}

fn report(error: &Error, until: BootTime) {
    let left_ms = u64::try_from(until.remaining().as_millis()).unwrap_or(u64::MAX);
    tracing::warn!(%error, left_ms, "the lease could not be extended");
}
