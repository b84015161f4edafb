//! The runner as one program among others: signals to it as the first process of a container, and a log that nobody takes.

use std::fs;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use minitower_client::wire::runner::ResultStatus;
use minitower_test_plane::REGISTRATION_TOKEN;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use crate::support::{ControlPlane, Job, PATIENCE, until};

const RUNNER: &str = env!("CARGO_BIN_EXE_minitower-runner");

fn runner(server: &str, data: &Path, program: &str, arguments: &[&str]) -> Command {
    let mut command = Command::new(program);
    command
        .args(arguments)
        .env("MINITOWER_SERVER_URL", server)
        .env("MINITOWER_RUNNER_NAME", "tested")
        .env("MINITOWER_REGISTRATION_TOKEN", REGISTRATION_TOKEN)
        .env("MINITOWER_DATA_DIR", data)
        .env("MINITOWER_POLL_INTERVAL", "100ms")
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null());
    command
}

/// Killed with the test.
struct Killed(Child);

impl Drop for Killed {
    fn drop(&mut self) {
        let _ended_already = self.0.kill();
        let _status = self.0.wait();
    }
}

/// The runner that `unshare` has started as the first process of a namespace, once its `main` has begun: it holds SIGTERM back.
fn begun(unshare: u32) -> Option<Pid> {
    let children = fs::read_to_string(format!("/proc/{unshare}/task/{unshare}/children")).ok()?;
    let pid: i32 = children.split_ascii_whitespace().next()?.parse().ok()?;
    if fs::read_link(format!("/proc/{pid}/exe")).ok()? != fs::canonicalize(RUNNER).unwrap() {
        return None;
    }
    let status = fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    let blocked = status.lines().find_map(|line| line.strip_prefix("SigBlk:"))?;
    let blocked = u64::from_str_radix(blocked.trim(), 16).ok()?;
    (blocked & (1 << (Signal::SIGTERM as i32 - 1)) != 0).then(|| Pid::from_raw(pid))
}

#[tokio::test]
async fn as_the_first_process_of_a_container_it_hears_a_signal_at_any_time() {
    let allowed = Command::new("unshare").args(["--pid", "--fork", "true"]).output();
    if !allowed.is_ok_and(|output| output.status.success()) {
        return crate::support::skip("a PID namespace cannot be made");
    }
    let place = tempfile::tempdir().unwrap();
    for microseconds in [0, 100, 500, 1000, 2000, 5000, 20_000, 100_000] {
        let arguments = ["--pid", "--fork", "--kill-child", RUNNER];
        // Nothing listens there, so that the signal finds the runner busy with registering at the latest.
        let mut command = runner("http://127.0.0.1:9", place.path(), "unshare", &arguments);
        let mut unshare = Killed(command.process_group(0).spawn().unwrap());
        let since = Instant::now();
        let pid = loop {
            // Without a pause, to be there when `main` begins.
            if let Some(pid) = begun(unshare.0.id()) {
                break pid;
            }
            assert!(since.elapsed() < PATIENCE, "the runner does not start");
        };
        std::thread::sleep(Duration::from_micros(microseconds));
        kill(pid, Signal::SIGTERM).unwrap();
        until(Duration::from_secs(30), &format!("it ends after a signal at {microseconds} µs"), || {
            unshare.0.try_wait().unwrap().is_some()
        })
        .await;
    }
}

#[tokio::test]
async fn a_log_that_cannot_be_written_stops_neither_the_runner_nor_its_run() {
    for what in ["a closed pipe", "a full device"] {
        let server = ControlPlane::start();
        let place = tempfile::tempdir().unwrap();
        let mut command = runner(&server.url, place.path(), RUNNER, &[]);
        command.env("MINITOWER_LOG", "trace");
        if what == "a closed pipe" {
            command.stderr(Stdio::piped());
        } else {
            command.stderr(fs::File::options().write(true).open("/dev/full").unwrap());
        }
        let mut process = Killed(command.spawn().unwrap());
        drop(process.0.stderr.take());
        server.submit(Job::script("main.sh", "echo told; exit 0"));
        assert_eq!(server.result().await.status, ResultStatus::Completed, "{what}");
        assert!(server.seen().log().contains("told"), "{what}");
        kill(Pid::from_raw(i32::try_from(process.0.id()).unwrap()), Signal::SIGTERM).unwrap();
        until(PATIENCE, "the runner has ended", || process.0.try_wait().unwrap().is_some()).await;
        assert!(process.0.wait().unwrap().success(), "{what}");
    }
}

#[tokio::test]
async fn a_job_gets_every_signal_that_the_runner_holds_back() {
    let server = ControlPlane::start();
    let place = tempfile::tempdir().unwrap();
    server.submit(Job::script("main.sh", "grep -E '^Sig(Blk|Ign)' /proc/self/status"));
    let _process = Killed(runner(&server.url, place.path(), RUNNER, &[]).spawn().unwrap());
    server.result().await;
    let log = server.seen().log();
    let masks: Vec<u64> = log
        .lines()
        .filter_map(|line| u64::from_str_radix(line.rsplit_once(':')?.1.trim(), 16).ok())
        .collect();
    assert_eq!(masks.len(), 2, "{log}");
    for signal in [Signal::SIGTERM, Signal::SIGINT, Signal::SIGPIPE, Signal::SIGHUP] {
        let bit = 1 << (signal as i32 - 1);
        assert!(masks.iter().all(|mask| mask & bit == 0), "{signal} in\n{log}");
    }
}
