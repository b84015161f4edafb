//! Watching a run, also over a restart of the server: the server tells when it has moved. Older servers are polled, more slowly while nothing
//! happens.

use std::future::Future;
use std::time::Duration;

use backon::{BackoffBuilder, ExponentialBuilder, Retryable};
use minitower_client::wire::runs::{Run, RunStatus};
use minitower_client::{Error, MoveEvent, MoveStream, TeamClient};
use tokio::signal::unix::{SignalKind, signal};
use tokio::time::timeout;

use crate::context::Context;
use crate::failure::{Exit, Explained, Failure};
use crate::output::{OutputError, clean, duration};
use crate::waiting::Waiting;

/// Ctrl-C could not be listened for.
#[derive(Debug, thiserror::Error)]
#[error("cannot listen for Ctrl-C")]
struct InterruptError(#[source] std::io::Error);

impl Explained for InterruptError {}

/// Pause between polls while things happen.
const BUSY_PAUSE: Duration = Duration::from_millis(200);
/// Longest pause between polls when nothing happens.
const QUIET_PAUSE: Duration = Duration::from_secs(1);

/// How long nothing may move until the run is looked at all the same.
const QUIET_MOVES: Duration = Duration::from_secs(30);

/// The pause before the next poll.
#[derive(Debug)]
pub(crate) struct Pace {
    pause: Duration,
}

impl Pace {
    pub(crate) const fn new() -> Self {
        Self { pause: BUSY_PAUSE }
    }

    /// Waits: briefly if something happened, otherwise a little longer each time.
    pub(crate) async fn wait(&mut self, happened: bool) {
        self.pause = if happened { BUSY_PAUSE } else { (self.pause * 5 / 4).min(QUIET_PAUSE) };
        tokio::time::sleep(self.pause).await;
    }
}

/// Reads, and tries again for about half a minute while the server cannot be reached.
pub(crate) async fn patiently<T, F>(context: &Context, read: impl FnMut() -> F) -> Result<T, Error>
where
    F: Future<Output = Result<T, Error>>,
{
    let mut told = false;
    read.retry(patience())
        .when(Error::is_retryable)
        .notify(|error, _| {
            if !told {
                context.out.note(format_args!("{error}\ntrying again for half a minute"));
                told = true;
            }
        })
        .await
}

fn patience() -> impl BackoffBuilder {
    ExponentialBuilder::default()
        .with_jitter()
        .with_min_delay(Duration::from_millis(200))
        .with_max_delay(Duration::from_secs(3))
        .with_max_times(usize::MAX)
        .with_total_delay(Some(Duration::from_secs(30)))
}

/// Waits until the run has ended, passes each state that it sees to `seen`, and tells why the run waits.
pub async fn until_terminal(
    context: &Context,
    team: &TeamClient,
    run_id: i64,
    mut seen: impl FnMut(&Run) -> Result<(), OutputError>,
) -> Result<Run, Failure> {
    let (mut pace, mut waiting) = (Pace::new(), Waiting::default());
    let mut last: Option<(RunStatus, i64, Option<String>)> = None;
    // Opened before the run is read, so that no move in between is missed. An older server has none: then the run is polled.
    let mut moves = patiently(context, || team.follow_runs(None)).await.unwrap_or_default();
    loop {
        let run = patiently(context, || team.run(run_id)).await.map_err(no_such_run)?;
        let now = (run.status, run.retry_count, run.runner.clone());
        let changed = last.as_ref() != Some(&now);
        if changed {
            seen(&run)?;
            last = Some(now);
        }
        if run.status.is_terminal() {
            return Ok(run);
        }
        waiting.look(context, team, &run).await;
        match &mut moves {
            None => pace.wait(changed).await,
            Some(stream) => {
                let quiet = waiting.due().map_or(QUIET_MOVES, |due| due.min(QUIET_MOVES));
                if !timeout(quiet, moved(stream, run_id)).await.unwrap_or(true) {
                    // The server is gone, or stops.
                    pace.wait(changed).await;
                    moves = patiently(context, || team.follow_runs(None)).await.unwrap_or_default();
                }
            }
        }
    }
}

/// Waits until the run has moved, or may have. False: the stream has ended.
async fn moved(stream: &mut MoveStream, run_id: i64) -> bool {
    loop {
        match stream.next().await {
            Ok(Some(MoveEvent::Run(run))) if run.run_id != run_id => {}
            Ok(Some(MoveEvent::Run(_) | MoveEvent::Reset)) => return true,
            Ok(None) | Err(_) => return false,
        }
    }
}

/// Runs `work` until Ctrl-C, which leaves the run alone and says so.
pub async fn unless_interrupted(
    context: &Context,
    run_id: i64,
    work: impl Future<Output = Result<Exit, Failure>>,
) -> Result<Exit, Failure> {
    // Listened for before the work begins: its first lines may be out before `select!` looks at another branch.
    let mut interrupt = signal(SignalKind::interrupt()).map_err(InterruptError)?;
    tokio::select! {
        exit = work => exit,
        _ = interrupt.recv() => {
            context.out.note(format_args!(
                "\nrun {run_id} continues; `minitower runs watch {run_id}` watches it again, \
                 `minitower runs cancel {run_id}` cancels it"
            ));
            Ok(Exit::Interrupted)
        }
    }
}

/// A run's id as a flag or an argument. People try the app's name first.
pub(crate) fn run_id(text: &str) -> Result<i64, String> {
    text.parse().map_err(|_| match text {
        "" => "it is empty; in a script, check that the command before it created a run".to_owned(),
        _ => "give the run's number, which `minitower runs list` shows".to_owned(),
    })
}

/// Adds what to do about a wrong run id.
pub fn no_such_run(error: Error) -> Failure {
    Failure::from(error).help_not_found("`minitower runs list` shows the existing runs")
}

/// A run's state in a few words: `running on r-1`, `failed after 12s: exit code 3`.
pub fn describe(run: &Run) -> String {
    let active = matches!(run.status, RunStatus::Leased | RunStatus::Running);
    let on = run.runner.as_ref().filter(|_| active).map(|runner| format!(" on {runner}"));
    let again = (run.status == RunStatus::Queued && run.retry_count > 0)
        .then(|| format!(" again (retry {} of {})", run.retry_count, run.max_retries));
    let after =
        run.started_at.zip(run.finished_at).map(|(from, to)| format!(" after {}", duration(from, to)));
    // What is missing of a run that completed is said too: files that were not kept, lines that were lost.
    let reason = match (&run.error_message, run.exit_code) {
        _ if !run.status.is_terminal() => None,
        (Some(message), _) => Some(format!(": {message}")),
        (None, _) if run.status == RunStatus::Completed => None,
        (None, code) => code.map(|code| format!(": exit code {code}")),
    };
    let details: String = [on, again, after, reason].into_iter().flatten().collect();
    clean(&format!("{}{details}", run.status.as_str()))
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    fn run(fields: &str) -> Run {
        let base = r#"{"run_id":7,"app_id":1,"app_slug":"hello","run_no":1,"version_no":1,"priority":0,"max_retries":2,
            "cancel_requested":false,"queued_at":"2026-01-02T03:04:00Z","#;
        serde_json::from_str(&format!("{base}{fields}}}")).unwrap()
    }

    #[rstest]
    #[case(r#""status":"queued","retry_count":0"#, "queued")]
    #[case(r#""status":"queued","retry_count":1"#, "queued again (retry 1 of 2)")]
    #[case(r#""status":"running","retry_count":0,"runner":"r-1""#, "running on r-1")]
    #[case(
        r#""status":"completed","retry_count":0,"started_at":"2026-01-02T03:04:05Z","finished_at":"2026-01-02T03:04:07Z""#,
        "completed after 2.0s"
    )]
    #[case(r#""status":"completed","retry_count":0,"exit_code":0"#, "completed")]
    #[case(
        r#""status":"completed","retry_count":0,"exit_code":0,"error_message":"artifacts not uploaded: 2""#,
        "completed: artifacts not uploaded: 2"
    )]
    #[case(r#""status":"failed","retry_count":0,"exit_code":3"#, "failed: exit code 3")]
    #[case(r#""status":"failed","retry_count":0,"exit_code":137,"error_message":"killed""#, "failed: killed")]
    fn a_state_is_described_in_a_few_words(#[case] fields: &str, #[case] expected: &str) {
        assert_eq!(describe(&run(fields)), expected);
    }
}
