//! Reports to the control plane how a run ended, until it has heard.

use std::time::Duration;

use minitower_client::Error;
use minitower_client::wire::runner::{LogBatch, ResultStatus, RunResult};
use minitower_daemon::backoff::Backoff;

use super::outcome::Verdict;
use super::patience::given_up;
use crate::calls::AttemptCalls;
use crate::logs::{Sent, longest_pause, send};
use crate::steps::Stopping;

/// How long one call may take.
const CALL_TIMEOUT: Duration = Duration::from_secs(10);

/// Reports the verdict to the control plane. Goes on past the lease's end, until the control plane answers that it has the verdict or
/// does not want it. A stopping runner [gives up](given_up) after a while. `length` is the lease's: a server that was away grants
/// one more lease when it starts again, and has to hear the verdict within that time.
pub(super) async fn conclude(calls: &AttemptCalls, verdict: Verdict, length: Duration, stopping: &Stopping) {
    let lines = match &verdict {
        Verdict::Result(result) => result.logs.len(),
        Verdict::Release | Verdict::Silence => 0,
    };
    tokio::select! {
        () = tell(calls, verdict, longest_pause(length)) => {}
        () = given_up(calls, length, stopping) => {
            tracing::warn!(
                log_lines = lines,
                "the control plane could not be told how the run ended; its lease will run out, and its last log lines may be lost"
            );
        }
    }
}

async fn tell(calls: &AttemptCalls, mut verdict: Verdict, longest_pause: Duration) {
    let mut backoff = Backoff::new(Duration::from_millis(200), longest_pause);
    loop {
        let answer = match &verdict {
            Verdict::Silence => return,
            Verdict::Release => {
                calls.call(CALL_TIMEOUT, |attempt| async move { attempt.release().await }).await
            }
            Verdict::Result(result) => {
                calls.call(CALL_TIMEOUT, |attempt| async move { attempt.result(result).await }).await
            }
        };
        match next(verdict, answer) {
            Next::Done => return,
            Next::Tell(other) => verdict = other,
            Next::LogsFirst(mut result) => {
                let batch = LogBatch { logs: std::mem::take(&mut result.logs) };
                verdict = Verdict::Result(result);
                match send(calls, &batch, longest_pause, |_| ()).await {
                    Sent::Taken => {}
                    Sent::Refused(loss) => verdict.mention(&loss.to_string()),
                    Sent::Gone => return,
                }
            }
            Next::Again(same) => {
                verdict = same;
                backoff.pause().await;
            }
        }
    }
}

#[derive(Debug, PartialEq)]
enum Next {
    /// The control plane has heard, or does not want to.
    Done,
    /// Report something else.
    Tell(Verdict),
    /// Send its log lines by themselves, then report it without them.
    LogsFirst(Box<RunResult>),
    /// The control plane has not heard: report it again.
    Again(Verdict),
}

/// What follows from the answer to a verdict.
fn next(verdict: Verdict, answer: Result<(), Error>) -> Next {
    let error = match answer {
        Ok(()) => {
            if let Verdict::Result(result) = &verdict {
                tracing::info!(status = ?result.status, "run ended");
            } else {
                tracing::info!("run given back");
            }
            return Next::Done;
        }
        Err(error) => error,
    };
    match (verdict, error.status()) {
        (verdict, _) if error.is_retryable() || matches!(error.status(), Some(401)) => {
            tracing::warn!(%error, "the control plane has not heard of the run's end yet");
            Next::Again(verdict)
        }
        (Verdict::Result(result), Some(409)) if result.status != ResultStatus::Cancelled => {
            tracing::info!("a cancel came before the result");
            // The lines were refused with the result.
            Next::Tell(Verdict::Result(Box::new(RunResult { logs: result.logs, ..cancelled() })))
        }
        (Verdict::Result(result), Some(400 | 413)) if !result.logs.is_empty() => {
            tracing::warn!(%error, "the control plane refused the result; sending its log lines by themselves");
            Next::LogsFirst(result)
        }
        // The output is too large, or of a kind that this server refuses. How the run ended matters more.
        (Verdict::Result(mut result), Some(400 | 413)) if result.output.is_some() => {
            tracing::warn!(%error, "the control plane refused the run's output; reporting without it");
            result.output = None;
            let mut told = Verdict::Result(result);
            told.mention(&format!("the output is not kept: the control plane refused it: {error}"));
            Next::Tell(told)
        }
        // Older servers may accept messages only for failed runs.
        (Verdict::Result(mut result), Some(400))
            if result.status == ResultStatus::Completed && result.error_message.is_some() =>
        {
            tracing::warn!(%error, message = result.error_message, "the control plane refused the run's error message");
            result.error_message = None;
            Next::Tell(Verdict::Result(result))
        }
        (_, Some(404 | 409 | 410)) => {
            tracing::info!(%error, "the attempt is over already");
            Next::Done
        }
        _ => {
            tracing::error!(%error, "the control plane refused the run's end");
            Next::Done
        }
    }
}

fn cancelled() -> RunResult {
    RunResult {
        status: ResultStatus::Cancelled,
        exit_code: None,
        error_message: None,
        reason: None,
        output: None,
        logs: Vec::new(),
    }
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    fn completed(output: bool) -> Verdict {
        let output = output.then(|| serde_json::json!({"a": 1}));
        Verdict::Result(Box::new(RunResult { status: ResultStatus::Completed, output, ..cancelled() }))
    }

    fn answer(status: u16) -> Result<(), Error> {
        Err(Error::Api { status, code: String::new(), message: "no".to_owned(), retry_after: None })
    }

    #[rstest]
    #[case(410)]
    #[case(404)]
    fn an_attempt_that_is_over_ends_it(#[case] status: u16) {
        assert_eq!(next(completed(false), answer(status)), Next::Done);
        assert_eq!(next(Verdict::Release, answer(status)), Next::Done);
    }

    #[rstest]
    #[case(500)]
    #[case(503)]
    #[case(429)]
    #[case(401)]
    fn trouble_of_the_server_is_waited_out(#[case] status: u16) {
        assert_eq!(next(completed(true), answer(status)), Next::Again(completed(true)));
        assert_eq!(next(Verdict::Release, answer(status)), Next::Again(Verdict::Release));
    }

    #[test]
    fn a_conflict_turns_the_result_into_cancelled_once() {
        let told = Verdict::Result(Box::new(cancelled()));
        assert_eq!(next(completed(false), answer(409)), Next::Tell(told.clone()));
        assert_eq!(next(told, answer(409)), Next::Done);
    }

    fn with_lines(mut verdict: Verdict) -> Verdict {
        let Verdict::Result(result) = &mut verdict else { panic!() };
        let line = r#"{"seq":1,"stream":"stdout","line":"last","logged_at":"2030-01-01T00:00:00Z"}"#;
        result.logs = vec![serde_json::from_str(line).unwrap()];
        verdict
    }

    #[test]
    fn the_last_lines_follow_a_result_that_a_cancel_overtook() {
        let cancelled = Verdict::Result(Box::new(cancelled()));
        assert_eq!(next(with_lines(completed(true)), answer(409)), Next::Tell(with_lines(cancelled)));
    }

    #[rstest]
    #[case(400)]
    #[case(413)]
    fn a_result_that_is_refused_with_its_lines_is_told_again_without_them(#[case] status: u16) {
        let Next::LogsFirst(result) = next(with_lines(completed(true)), answer(status)) else { panic!() };
        assert_eq!(result.logs.len(), 1, "they are sent before");
        assert!(result.output.is_some(), "what was wrong is not known yet");
    }

    #[test]
    fn a_refused_output_is_left_out_and_the_run_says_so() {
        let Next::Tell(Verdict::Result(told)) = next(completed(true), answer(413)) else { panic!() };
        assert_eq!((told.status, told.output), (ResultStatus::Completed, None));
        let message = told.error_message.unwrap();
        assert!(message.contains("the output is not kept") && message.contains("no (413)"), "{message}");
        assert_eq!(next(completed(false), answer(400)), Next::Done);
    }

    #[test]
    fn a_refused_message_of_a_completed_run_is_left_out() {
        let mut told = completed(false);
        told.mention("3 lines of the log were lost");
        assert_eq!(next(told, answer(400)), Next::Tell(completed(false)));
    }
}
