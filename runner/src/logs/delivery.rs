//! Sending a run's lines to the control plane.

use std::time::Duration;

use minitower_client::wire::runner::LogBatch;
use minitower_client::wire::runs::LogLine;
use minitower_daemon::backoff::Backoff;
use tokio::sync::watch;
use tokio::time::Instant;

use super::line::Loss;
use super::run_log::RunLog;
use crate::calls::AttemptCalls;
use crate::lease::heartbeat_interval;

/// How long a batch that is not full waits for more lines. Lines written this shortly before a job's end go with the result, which saves
/// the control plane a call.
const INTERVAL: Duration = Duration::from_millis(200);
/// The same once the job's program has ended: its result follows, but for artifacts that take long.
const INTERVAL_AT_THE_END: Duration = Duration::from_secs(1);
/// Longest pause between attempts at delivering while the server is away.
const LONGEST_PAUSE: Duration = Duration::from_secs(5);
/// How long one batch may take.
const CALL_TIMEOUT: Duration = Duration::from_secs(10);

/// How far a log has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Progress {
    /// Lines may still be added.
    Growing,
    /// The same, but the job's program has ended.
    Ending,
    /// No line will be added, and all of them are to be sent.
    Complete,
    /// No line will be added, and the result carries the last batch.
    LastWithResult,
}

/// Why delivering ended.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Delivered {
    /// All lines were delivered, or refused for good, but these: at most a batch, for the result to carry.
    AllBut(Vec<LogLine>),
    /// The attempt is over on the server: nobody wants the rest.
    Gone,
}

/// Delivers the log's lines in order, until none is left that `progress` wants to be sent. `length` is the lease's: a server that
/// was away grants one more of it from its start, and has to be found again within that time.
pub(crate) async fn deliver(
    log: RunLog,
    calls: AttemptCalls,
    length: Duration,
    mut progress: watch::Receiver<Progress>,
) -> Delivered {
    let longest_pause = longest_pause(length);
    // When the first of the lines that wait was seen.
    let mut since = None;
    loop {
        let arrived = log.arrived();
        let stage = *progress.borrow_and_update();
        let waiting = log.waiting().await;
        let interval = match stage {
            Progress::Growing => INTERVAL,
            Progress::Ending => INTERVAL_AT_THE_END,
            Progress::Complete | Progress::LastWithResult => Duration::ZERO,
        };
        if waiting == 0 && interval.is_zero() {
            return Delivered::AllBut(Vec::new());
        }
        if waiting > 0 && since.is_none() {
            since = Some(Instant::now());
        }
        let due = since.map(|since| since + interval);
        if waiting < LogBatch::MAX_LINES && due.is_none_or(|due| due > Instant::now()) {
            tokio::select! {
                () = sleep_until(due) => {}
                () = arrived => {}
                changed = progress.changed() => {
                    if changed.is_err() {
                        // Whoever ran the job is gone, and with it the attempt.
                        return Delivered::Gone;
                    }
                }
            }
            continue;
        }
        let batch = LogBatch { logs: log.take(LogBatch::MAX_LINES).await };
        if stage == Progress::LastWithResult && log.waiting().await == 0 {
            return Delivered::AllBut(batch.logs);
        }
        since = None;
        match send(&calls, &batch, longest_pause, |taken| log.set_reachable(taken)).await {
            Sent::Taken => {}
            Sent::Refused(loss) => log.lose(&loss).await,
            Sent::Gone => return Delivered::Gone,
        }
    }
}

/// Waits until then, or for ever.
async fn sleep_until(due: Option<Instant>) {
    match due {
        Some(due) => tokio::time::sleep_until(due).await,
        None => std::future::pending().await,
    }
}

/// The longest pause between two attempts, under a lease of this length.
pub(crate) fn longest_pause(length: Duration) -> Duration {
    heartbeat_interval(length).min(LONGEST_PAUSE)
}

/// What became of a batch.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Sent {
    /// The server has it.
    Taken,
    /// The server refuses it for good: its lines are lost.
    Refused(Loss),
    /// The attempt is over on the server.
    Gone,
}

/// Sends one batch until the server has taken or refused it. `heard` is told after each attempt whether the server took it.
pub(crate) async fn send(
    calls: &AttemptCalls,
    batch: &LogBatch,
    longest_pause: Duration,
    heard: impl Fn(bool),
) -> Sent {
    let mut backoff = Backoff::new(Duration::from_millis(100), longest_pause);
    loop {
        let outcome = calls.call(CALL_TIMEOUT, |attempt| async move { attempt.logs(batch).await }).await;
        heard(outcome.is_ok());
        match outcome {
            Ok(()) => return Sent::Taken,
            Err(error) if error.status() == Some(410) => return Sent::Gone,
            Err(error) if error.is_retryable() || error.status() == Some(401) => {
                tracing::debug!(%error, lines = batch.logs.len(), "log lines are kept for later");
                backoff.pause().await;
            }
            Err(error) => {
                tracing::warn!(%error, lines = batch.logs.len(), "the control plane refused log lines; they are lost");
                let texts = batch.logs.iter().map(|line| line.line.as_str());
                return Sent::Refused(Loss::of(texts, format!("the control plane refused them: {error}")));
            }
        }
    }
}
