//! Stopping a runner.

use std::time::{Duration, Instant};

use minitower_tests::process::Signal;
use minitower_tests::{JobBed, Server, wait};
use serde_json::json;

/// Far below the lease's minute: nobody waits for an expiry.
const PROMPT: Duration = Duration::from_secs(15);

#[test]
fn an_idle_runner_stops_at_once() {
    let mut bed = JobBed::start();
    let mut runner = bed.take_runner();
    assert_eq!(runner.terminate(PROMPT), 0);
    bed.team.python_app("later", "print()");
    let run = bed.team.run_id("later");
    assert_eq!(bed.team.status(run), "queued", "nothing is leased to a runner that signed off");
}

#[test]
fn a_stopping_runner_lets_its_run_end() {
    let mut bed = JobBed::start();
    let code = "import time\nprint('started', flush=True)\ntime.sleep(1.5)\nprint('ended')";
    let run = bed.python("short", code);
    bed.team.wait_line(run, "started");
    let next = bed.team.run_id("short");
    let mut runner = bed.take_runner();
    assert_eq!(runner.terminate(PROMPT), 0);
    let ended = bed.team.read(run);
    assert_eq!(ended["status"], "completed");
    assert_eq!(bed.team.stream(run, "stdout"), ["started", "ended"]);
    assert_eq!(bed.team.status(next), "queued");
}

#[test]
fn a_run_that_is_not_done_within_the_grace_is_released() {
    let mut bed = JobBed::start_with(Server::builder(), &[("MINITOWER_SHUTDOWN_GRACE", "500ms")]);
    let run = bed.python("long", "import time\nprint('started', flush=True)\ntime.sleep(600)");
    bed.team.wait_line(run, "started");
    let mut runner = bed.take_runner();
    assert_eq!(runner.terminate(PROMPT), 0);
    let after = bed.team.read(run);
    assert_eq!((&after["status"], &after["retry_count"]), (&json!("queued"), &json!(0)));
    assert_eq!(bed.team.attempts(run)[0]["status"], "released");
    bed.wait_no_job_process(wait::SOON);
}

#[test]
fn a_second_sigterm_stops_the_runner_at_once() {
    let mut bed = JobBed::start();
    let run = bed.python("long", "import time\nprint('started', flush=True)\ntime.sleep(600)");
    bed.team.wait_line(run, "started");
    let mut runner = bed.take_runner();
    let asked = Instant::now();
    runner.signal(Signal::SIGTERM);
    wait::stays("the runner waits for its run", Duration::from_millis(500), || runner.ended().is_none());
    runner.signal(Signal::SIGTERM);
    runner.wait_end(PROMPT);
    assert!(asked.elapsed() < PROMPT, "well before the grace of 30 s");
    bed.wait_no_job_process(wait::SOON);
    assert_eq!(bed.team.status(run), "queued", "it was released");
}

#[test]
fn a_restarted_runner_keeps_its_token_and_name() {
    let mut bed = JobBed::start();
    let file = wait::until("the token is kept", wait::SOON, || bed.files_named("token").pop());
    let token = std::fs::read_to_string(&file).unwrap();
    let before = bed.team.runner(minitower_tests::job::RUNNER_NAME).unwrap();
    let mut runner = bed.take_runner();
    runner.terminate(PROMPT);
    bed.start_runner();
    assert_eq!(std::fs::read_to_string(&file).unwrap(), token);
    let after = bed.team.runner(minitower_tests::job::RUNNER_NAME).unwrap();
    assert_eq!(before["runner_id"], after["runner_id"]);
    let run = bed.python("after", "print('here')");
    assert_eq!(bed.team.wait_end(run)["status"], "completed");
}

#[test]
fn a_second_runner_on_the_same_data_directory_is_refused() {
    let bed = JobBed::start();
    let data = bed.data_dir().display().to_string();
    let folder = bed.server.folder();
    let env: Vec<(String, String)> = [
        ("MINITOWER_SERVER_URL", bed.server.http().base()),
        ("MINITOWER_RUNNER_NAME", minitower_tests::job::RUNNER_NAME),
        ("MINITOWER_REGISTRATION_TOKEN", &bed.team.registration_token),
        ("MINITOWER_DATA_DIR", &data),
    ]
    .map(|(key, value)| (key.to_owned(), value.to_owned()))
    .into();
    let log = folder.join("logs/second.log");
    let mut second =
        minitower_tests::Program::start(minitower_tests::programs::RUNNER, &[], &env, folder, &log);
    let status = second.wait_end(PROMPT);
    assert!(!status.success());
    let run = bed.python("still", "print('here')");
    assert_eq!(bed.team.wait_end(run)["status"], "completed", "the first one is not disturbed");
}
