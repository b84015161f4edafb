//! What a job's end means for its run.

use std::fs::File;
use std::io::{self, Read};
use std::sync::Arc;

use minitower_client::wire::runner::{Lease, ResultReason, ResultStatus, RunResult};
use minitower_daemon::errors::chain;
use nix::sys::signal::Signal;
use serde_json::Value;
use tokio::task::JoinError;

use super::artifacts;
use super::error::SetupError;
use super::script::Ran;
use crate::calls::AttemptCalls;
use crate::steps::{StepEnd, Steps, Stop};
use crate::supervisor::{Ended, Ending, SupervisorError};

/// Largest output that is sent.
const MAX_OUTPUT_BYTES: u64 = 256 * 1024;

/// What the control plane is to be told.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Verdict {
    /// How the run ended.
    Result(Box<RunResult>),
    /// That the run may start again elsewhere.
    Release,
    /// Nothing: it has ended the attempt itself.
    Silence,
}

impl Verdict {
    /// Says in a result what else somebody who looks at the run has to know. A timeout's message is the contract's word.
    pub(super) fn mention(&mut self, what: &str) {
        let Self::Result(result) = self else { return };
        if result.reason == Some(ResultReason::Timeout) || result.status == ResultStatus::Cancelled {
            return;
        }
        match &mut result.error_message {
            Some(message) => {
                message.push_str("; ");
                message.push_str(what);
            }
            None => result.error_message = Some(what.to_owned()),
        }
    }
}

/// Judges how a job ended; of one that ended by itself, output and artifacts are taken. What a person has to know goes into its
/// log.
pub(super) async fn verdict(
    ran: Result<Ran, SetupError>,
    lease: &Lease,
    calls: &AttemptCalls,
    steps: &Steps,
) -> Verdict {
    let (end, workspace) = match ran {
        Ok(Ran { end, workspace }) => (end, workspace),
        Err(SetupError::Stopped(Stop::OutOfTime)) => return out_of_time("the setup", steps).await,
        Err(SetupError::Stopped(stop)) => return stopped(stop),
        Err(SetupError::Supervisor(error)) => {
            let told = chain(&error);
            tracing::error!(error = told, "the attempt is lost");
            steps.log.note(format!("minitower-runner: {told}")).await;
            // What may still run must not meet a successor: the lease is left to run out.
            return match error {
                SupervisorError::AtLarge { .. } => Verdict::Silence,
                _ => Verdict::Release,
            };
        }
        Err(SetupError::Failed(failure)) => {
            let told = format!("setup failed: {}", chain(&failure));
            steps.log.note(format!("minitower-runner: {told}")).await;
            let message = steps.log.masked(&told);
            return result(ResultStatus::Failed, None, Some(message), Some(ResultReason::Setup), None);
        }
        Err(own @ (SetupError::Own(_) | SetupError::Full { .. })) => {
            let told = chain(&own);
            steps
                .log
                .note(format!(
                    "minitower-runner: {told}; this is a problem of the runner and not of the run, which goes back to the queue"
                ))
                .await;
            return Verdict::Release;
        }
    };
    match end {
        StepEnd::TimedOut | StepEnd::Stopped(Stop::OutOfTime) => out_of_time("the job", steps).await,
        StepEnd::Stopped(stop) => stopped(stop),
        StepEnd::Ended(ended) => {
            let output = tokio::task::spawn_blocking({
                let workspace = Arc::clone(&workspace);
                move || read_output(workspace.open_output())
            })
            .await;
            let (output, lost) = match output.unwrap_or_else(|fault| Err(OutputError::Died(fault))) {
                Ok(output) => (output, None),
                Err(error) => {
                    let lost = format!("the output is not kept: {}", chain(&error));
                    steps.log.note(format!("minitower-runner: {lost}")).await;
                    (None, Some(lost))
                }
            };
            let limits = lease.limits.unwrap_or_default();
            let missing = artifacts::upload(&workspace, calls, steps, limits).await;
            let mut verdict = ended_by_itself(ended, output);
            for missing in lost.into_iter().chain(missing) {
                verdict.mention(&missing);
            }
            verdict
        }
    }
}

async fn out_of_time(what: &str, steps: &Steps) -> Verdict {
    let by = steps.allowed.borrow().by.clone();
    steps.log.note(format!("minitower-runner: {what} took longer than {by} and was stopped")).await;
    let (message, reason) = ("timeout".to_owned(), ResultReason::Timeout);
    result(ResultStatus::Failed, None, Some(message), Some(reason), None)
}

fn stopped(stop: Stop) -> Verdict {
    match stop {
        Stop::Cancelled => result(ResultStatus::Cancelled, None, None, None, None),
        Stop::Gone => Verdict::Silence,
        Stop::Lapsed | Stop::ShuttingDown | Stop::AtOnce => Verdict::Release,
        // Told by whoever knows what took so long.
        Stop::OutOfTime => {
            result(ResultStatus::Failed, None, Some("timeout".to_owned()), Some(ResultReason::Timeout), None)
        }
    }
}

fn ended_by_itself(ended: Ended, output: Option<Value>) -> Verdict {
    let (code, message, reason) = match ended.ending {
        Ending::Code(0) => {
            return result(ResultStatus::Completed, Some(0), None, Some(ResultReason::Exit), output);
        }
        Ending::Code(code) => (code, format!("exit code {code}"), ResultReason::Exit),
        Ending::Signal(number) => {
            let name = Signal::try_from(number).map_or("unknown", Signal::as_str);
            let mut message = format!("killed by signal {number} ({name})");
            if ended.out_of_memory && number == Signal::SIGKILL as i32 {
                message.push_str(": out of memory");
            }
            (128 + number, message, ResultReason::Signal)
        }
    };
    result(ResultStatus::Failed, Some(i64::from(code)), Some(message), Some(reason), output)
}

fn result(
    status: ResultStatus,
    exit_code: Option<i64>,
    error_message: Option<String>,
    reason: Option<ResultReason>,
    output: Option<Value>,
) -> Verdict {
    Verdict::Result(Box::new(RunResult {
        status,
        exit_code,
        error_message,
        reason,
        output,
        logs: Vec::new(),
    }))
}

/// Why a job's output is not kept.
#[derive(Debug, thiserror::Error)]
enum OutputError {
    #[error(transparent)]
    Read(#[from] io::Error),
    #[error("it is larger than {} KiB", MAX_OUTPUT_BYTES / 1024)]
    TooLarge,
    #[error("MINITOWER_OUTPUT_FILE is not valid JSON, which has no NaN")]
    NotJson(#[from] serde_json::Error),
    #[error("the runner failed while reading it")]
    Died(#[source] JoinError),
}

/// Reads what the job wrote as its output.
fn read_output(file: io::Result<Option<File>>) -> Result<Option<Value>, OutputError> {
    let Some(file) = file? else { return Ok(None) };
    let mut bytes = Vec::new();
    file.take(MAX_OUTPUT_BYTES + 1).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > MAX_OUTPUT_BYTES {
        return Err(OutputError::TooLarge);
    }
    if bytes.iter().all(u8::is_ascii_whitespace) {
        return Ok(None);
    }
    Ok(Some(serde_json::from_slice(&bytes)?))
}

#[cfg(test)]
mod tests {
    use rstest::rstest;
    use serde_json::json;

    use std::sync::Arc;

    use super::*;
    use crate::clock::BootTime;
    use crate::data_dir::DataDir;
    use crate::workspace::Workspace;

    fn ended(ending: Ending, out_of_memory: bool) -> Ended {
        Ended { ending, at: BootTime::now(), by_deadline: false, out_of_memory, stuck: 0 }
    }

    #[rstest]
    #[case(Ending::Code(0), false, ResultStatus::Completed, 0, None, ResultReason::Exit)]
    #[case(Ending::Code(3), false, ResultStatus::Failed, 3, Some("exit code 3"), ResultReason::Exit)]
    #[case(
        Ending::Signal(11),
        false,
        ResultStatus::Failed,
        139,
        Some("killed by signal 11 (SIGSEGV)"),
        ResultReason::Signal
    )]
    #[case(
        Ending::Signal(9),
        true,
        ResultStatus::Failed,
        137,
        Some("killed by signal 9 (SIGKILL): out of memory"),
        ResultReason::Signal
    )]
    #[case(
        Ending::Signal(15),
        true,
        ResultStatus::Failed,
        143,
        Some("killed by signal 15 (SIGTERM)"),
        ResultReason::Signal
    )]
    #[case(
        Ending::Signal(40),
        false,
        ResultStatus::Failed,
        168,
        Some("killed by signal 40 (unknown)"),
        ResultReason::Signal
    )]
    fn the_end_of_a_job_becomes_a_result(
        #[case] ending: Ending,
        #[case] out_of_memory: bool,
        #[case] status: ResultStatus,
        #[case] exit_code: i64,
        #[case] message: Option<&str>,
        #[case] reason: ResultReason,
    ) {
        let Verdict::Result(result) = ended_by_itself(ended(ending, out_of_memory), None) else { panic!() };
        assert_eq!(result.status, status);
        assert_eq!(result.exit_code, Some(exit_code));
        assert_eq!(result.error_message.as_deref(), message);
        assert_eq!(result.reason, Some(reason));
    }

    #[test]
    fn what_was_lost_is_mentioned_in_a_result_but_not_in_a_timeout() {
        let mention = |mut verdict: Verdict| {
            verdict.mention("3 lines of the log were lost");
            let Verdict::Result(result) = verdict else { panic!() };
            result.error_message
        };
        let completed = ended_by_itself(ended(Ending::Code(0), false), None);
        assert_eq!(mention(completed).as_deref(), Some("3 lines of the log were lost"));
        let failed = ended_by_itself(ended(Ending::Code(3), false), None);
        assert_eq!(mention(failed).as_deref(), Some("exit code 3; 3 lines of the log were lost"));
        assert_eq!(mention(stopped(Stop::OutOfTime)).as_deref(), Some("timeout"));
        assert_eq!(mention(stopped(Stop::Cancelled)), None);
    }

    #[test]
    fn output_is_json_of_a_bounded_plain_file() {
        let base = tempfile::tempdir().unwrap();
        let data_dir = Arc::new(DataDir::open(base.path(), "r").unwrap());
        let workspace = Workspace::create(&data_dir, 1).unwrap();
        let path = workspace.output();
        let read_output = || read_output(workspace.open_output()).map_err(|error| chain(&error));
        assert_eq!(read_output(), Ok(None));
        std::fs::write(&path, " \n").unwrap();
        assert_eq!(read_output(), Ok(None));
        std::fs::write(&path, r#"{"rows": 3}"#).unwrap();
        assert_eq!(read_output(), Ok(Some(json!({"rows": 3}))));
        std::fs::write(&path, "{rows").unwrap();
        assert!(read_output().unwrap_err().contains("not valid JSON"));
        std::fs::write(&path, "x".repeat(300_000)).unwrap();
        assert!(read_output().unwrap_err().contains("256 KiB"));
        std::fs::remove_file(&path).unwrap();
        std::os::unix::fs::symlink("/etc/passwd", &path).unwrap();
        assert!(read_output().is_err());
        std::fs::remove_file(&path).unwrap();
        nix::unistd::mkfifo(&path, nix::sys::stat::Mode::S_IRWXU).unwrap();
        assert!(read_output().unwrap_err().contains("plain file"));
    }
}
