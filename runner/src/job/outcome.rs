//! What a job's end means for its run.

use std::fs::File;
use std::io::{self, Read};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use minitower_client::wire::runner::{ResultReason, ResultStatus, RunResult};
use nix::sys::signal::Signal;
use serde_json::Value;

use super::script::{Ran, SetupError};
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

/// Judges how a job ended. What a person has to know goes into its log.
pub(super) async fn verdict(ran: Result<Ran, SetupError>, steps: &Steps) -> Verdict {
    let (end, workspace) = match ran {
        Ok(Ran { end, workspace }) => (end, workspace),
        Err(SetupError::Stopped(stop)) => return stopped(stop),
        Err(SetupError::Supervisor(error)) => {
            tracing::error!(%error, "the attempt is lost");
            steps.log.note(format!("minitower-runner: {error}")).await;
            // What may still run must not meet a successor: the lease is left to run out.
            return match error {
                SupervisorError::AtLarge { .. } => Verdict::Silence,
                _ => Verdict::Release,
            };
        }
        Err(SetupError::Failed(reason)) => {
            steps.log.note(format!("minitower-runner: setup failed: {reason}")).await;
            let message = format!("setup failed: {reason}");
            return result(ResultStatus::Failed, None, Some(message), Some(ResultReason::Setup), None);
        }
    };
    match end {
        StepEnd::Stopped(stop) => stopped(stop),
        StepEnd::TimedOut => {
            steps.log.note("minitower-runner: the job took longer than its timeout and was stopped").await;
            let (message, reason) = ("timeout".to_owned(), ResultReason::Timeout);
            result(ResultStatus::Failed, None, Some(message), Some(reason), None)
        }
        StepEnd::Ended(ended) => {
            let path = workspace.output();
            let output = tokio::task::spawn_blocking(move || read_output(&path)).await;
            let output = match output.unwrap_or_else(|fault| Err(fault.to_string())) {
                Ok(output) => output,
                Err(reason) => {
                    steps.log.note(format!("minitower-runner: the output is ignored: {reason}")).await;
                    None
                }
            };
            ended_by_itself(ended, output)
        }
    }
}

fn stopped(stop: Stop) -> Verdict {
    match stop {
        Stop::Cancelled => result(ResultStatus::Cancelled, None, None, None, None),
        Stop::Gone => Verdict::Silence,
        Stop::Lapsed | Stop::ShuttingDown | Stop::AtOnce => Verdict::Release,
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
    Verdict::Result(Box::new(RunResult { status, exit_code, error_message, reason, output }))
}

/// Reads what the job wrote as its output. The text of an error goes into the run's log.
fn read_output(path: &Path) -> Result<Option<Value>, String> {
    // A job may have put anything there: no link is followed, no pipe waited for.
    let flags = (nix::fcntl::OFlag::O_NOFOLLOW | nix::fcntl::OFlag::O_NONBLOCK).bits();
    let file = match File::options().read(true).custom_flags(flags).open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(error.to_string()),
    };
    if !file.metadata().is_ok_and(|metadata| metadata.is_file()) {
        return Err("it is not a plain file".to_owned());
    }
    let mut bytes = Vec::new();
    file.take(MAX_OUTPUT_BYTES + 1).read_to_end(&mut bytes).map_err(|error| error.to_string())?;
    if bytes.len() as u64 > MAX_OUTPUT_BYTES {
        return Err(format!("it is larger than {} KiB", MAX_OUTPUT_BYTES / 1024));
    }
    if bytes.iter().all(u8::is_ascii_whitespace) {
        return Ok(None);
    }
    serde_json::from_slice(&bytes).map(Some).map_err(|error| format!("it is no JSON: {error}"))
}

#[cfg(test)]
mod tests {
    use rstest::rstest;
    use serde_json::json;

    use super::*;
    use crate::clock::BootTime;

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
    fn output_is_json_of_a_bounded_plain_file() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("output");
        assert_eq!(read_output(&path), Ok(None));
        std::fs::write(&path, " \n").unwrap();
        assert_eq!(read_output(&path), Ok(None));
        std::fs::write(&path, r#"{"rows": 3}"#).unwrap();
        assert_eq!(read_output(&path), Ok(Some(json!({"rows": 3}))));
        std::fs::write(&path, "{rows").unwrap();
        assert!(read_output(&path).unwrap_err().contains("no JSON"));
        std::fs::write(&path, "x".repeat(300_000)).unwrap();
        assert!(read_output(&path).unwrap_err().contains("256 KiB"));
        std::fs::remove_file(&path).unwrap();
        std::os::unix::fs::symlink("/etc/passwd", &path).unwrap();
        assert!(read_output(&path).is_err());
        std::fs::remove_file(&path).unwrap();
        nix::unistd::mkfifo(&path, nix::sys::stat::Mode::S_IRWXU).unwrap();
        assert!(read_output(&path).unwrap_err().contains("plain file"));
    }
}
