//! Sending a run's lines to the control plane.

use std::sync::atomic::Ordering;
use std::time::Duration;

use minitower_client::wire::runner::LogBatch;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::RunLog;
use crate::backoff::Backoff;
use crate::calls::AttemptCalls;
use crate::lease::heartbeat_interval;

/// Batches that are not full go out at most this often.
const INTERVAL: Duration = Duration::from_millis(200);
/// Longest pause between attempts at delivering while the server is away.
const LONGEST_PAUSE: Duration = Duration::from_secs(5);
/// How long one batch may take.
const CALL_TIMEOUT: Duration = Duration::from_secs(10);

/// Why delivering ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Delivered {
    /// All lines were delivered, or refused for good.
    All,
    /// The attempt is over on the server: nobody wants the rest.
    Gone,
}

/// Delivers the log's lines in order; when `finishing` is cancelled, until none is left. `length` is the lease's: a server that
/// was away grants one more of it from its start, within which it is to be found again.
pub(crate) async fn deliver(
    log: RunLog,
    calls: AttemptCalls,
    length: Duration,
    finishing: CancellationToken,
) -> Delivered {
    let longest_pause = heartbeat_interval(length).min(LONGEST_PAUSE);
    let mut last_sent = Instant::now().checked_sub(INTERVAL).unwrap_or_else(Instant::now);
    loop {
        let arrived = log.shared.arrived.notified();
        let waiting = log.waiting().await;
        if waiting == 0 {
            if finishing.is_cancelled() {
                return Delivered::All;
            }
            tokio::select! {
                () = arrived => {}
                () = finishing.cancelled() => {}
            }
            continue;
        }
        let due = last_sent + INTERVAL;
        if waiting < LogBatch::MAX_LINES && !finishing.is_cancelled() && Instant::now() < due {
            tokio::select! {
                () = tokio::time::sleep_until(due) => {}
                () = arrived => {}
                () = finishing.cancelled() => {}
            }
            continue;
        }
        let batch = LogBatch { logs: log.take(LogBatch::MAX_LINES).await };
        last_sent = Instant::now();
        if !send(&log, &calls, &batch, longest_pause).await {
            return Delivered::Gone;
        }
    }
}

/// Sends one batch until the server took or refused it; `false` when the attempt is over.
async fn send(log: &RunLog, calls: &AttemptCalls, batch: &LogBatch, longest_pause: Duration) -> bool {
    let mut backoff = Backoff::new(Duration::from_millis(100), longest_pause);
    loop {
        let outcome = calls.call(CALL_TIMEOUT, |attempt| async move { attempt.logs(batch).await }).await;
        log.shared.reachable.store(outcome.is_ok(), Ordering::Relaxed);
        match outcome {
            Ok(()) => return true,
            Err(error) if error.status() == Some(410) => return false,
            Err(error) if error.is_retryable() || error.status() == Some(401) => {
                tracing::debug!(%error, lines = batch.logs.len(), "log lines are kept for later");
                backoff.pause().await;
            }
            Err(error) => {
                tracing::warn!(%error, lines = batch.logs.len(), "the control plane refused log lines; they are lost");
                let bytes = batch.logs.iter().map(|line| line.line.len() as u64).sum();
                log.lose(batch.logs.len() as u64, bytes, &format!("the control plane refused them: {error}"))
                    .await;
                return true;
            }
        }
    }
}
