//! What a job gets, and how its end is reported.

use std::time::{Duration, Instant};

use minitower_client::wire::runner::{ResultReason, ResultStatus};
use minitower_client::wire::runs::Stream;
use minitower_test_plane::{Answer, Gate, REGISTRATION_TOKEN};
use serde_json::json;

use crate::support::{ControlPlane, Job, Runner, ends, entries, until};

#[tokio::test]
async fn a_python_job_gets_its_input_and_its_log_and_output_are_reported() {
    let server = ControlPlane::start();
    let data = tempfile::tempdir().unwrap();
    let main = r#"
import json, os, sys, helper
print("hello,", os.environ["name"])
print("to stderr", file=sys.stderr)
print(sorted(json.loads(os.environ["MINITOWER_INPUT"])))
print(sys.prefix != sys.base_prefix, helper.VALUE)
print("secrets", [k for k, v in os.environ.items() if "TOKEN" in k or "must-not-be-seen" in v or "registration-of-the-tests" in v])
print(os.environ["MINITOWER_RUN_ID"], os.environ["MINITOWER_APP"], os.environ["MINITOWER_ATTEMPT"])
print("oom", open("/proc/self/oom_score_adj").read().strip())
json.dump({"rows": 3}, open(os.environ["MINITOWER_OUTPUT_FILE"], "w"))
"#;
    let mut job = Job::project("main.py", &[("main.py", main), ("lib/more/helper.py", "VALUE = 'imported'")]);
    job.input = json!({"name": "MiniTower", "a=b": 1});
    job.import_paths = Some(r#"["lib/more"]"#);
    server.submit(job);
    let runner = Runner::start(&server, data.path());

    let result = server.result().await;
    assert_eq!(result.status, ResultStatus::Completed);
    assert_eq!(result.exit_code, Some(0));
    assert_eq!(result.output, Some(json!({"rows": 3})));
    let log = server.seen().log();
    for line in [
        "hello, MiniTower\n",
        "['a=b', 'name']\n",
        "True imported\n",
        "secrets []\n",
        "1 tested 1\n",
        "oom 1000\n",
        "input key \"a=b\" is not passed",
    ] {
        assert!(log.contains(line), "{line:?} in\n{log}");
    }
    let stderr = server.seen().lines().into_iter().find(|line| line.line == "to stderr").unwrap();
    assert_eq!(stderr.stream, Stream::Stderr);
    assert_eq!(server.seen().starts(), 1);
    assert_eq!(server.seen().registrations().len(), 1);
    let work = runner.data().join("work");
    until(Duration::from_secs(5), "the workspace is removed", || entries(&work).is_empty()).await;
    let token = std::fs::read_to_string(runner.data().join("token")).unwrap();
    assert_eq!(server.seen().tokens()[0], token);
    assert!(
        !runner.log().contains(&token) && !runner.log().contains(REGISTRATION_TOKEN),
        "no token is logged"
    );
}

#[tokio::test]
async fn shell_jobs_run_and_exit_codes_and_signals_are_told() {
    let server = ControlPlane::start();
    let data = tempfile::tempdir().unwrap();
    server.submit(Job::script("main.sh", "grep -E 'Sig(Blk|Ign)' /proc/self/status; exit 3"));
    server.submit(Job::script("sub/kill.sh", "kill -SEGV $$"));
    server.submit(Job::script("main.py", "import sys; sys.exit('sorry')"));
    let _runner = Runner::start(&server, data.path());
    let results = server.results(3).await;
    assert_eq!((results[0].status, results[0].exit_code), (ResultStatus::Failed, Some(3)));
    assert_eq!(results[0].reason, Some(ResultReason::Exit));
    assert_eq!((results[1].exit_code, results[1].reason), (Some(139), Some(ResultReason::Signal)));
    assert!(results[1].error_message.as_deref().unwrap().contains("SIGSEGV"));
    assert_eq!(results[2].exit_code, Some(1));
    let log = server.seen().log();
    for mask in log.lines().filter_map(|line| line.strip_prefix("Sig")?.split_whitespace().nth(1)) {
        // Signals from 32 on are the C library's own.
        assert_eq!(
            u64::from_str_radix(mask, 16).unwrap() & 0x7fff_ffff,
            0,
            "no signal is kept from a job: {log}"
        );
    }
}

#[tokio::test]
async fn a_job_over_its_timeout_is_stopped_and_failed() {
    let server = ControlPlane::start();
    let data = tempfile::tempdir().unwrap();
    let mut job = Job::script("main.sh", "echo pid=$$; sleep 600");
    job.timeout_seconds = Some(1);
    server.submit(job);
    let runner = Runner::start(&server, data.path());
    let pid = runner.process(server.number("pid").await);
    let result = server.result().await;
    assert_eq!(result.status, ResultStatus::Failed);
    assert_eq!(result.reason, Some(ResultReason::Timeout));
    assert_eq!(result.error_message.as_deref(), Some("timeout"));
    ends(pid, Duration::from_secs(1)).await;
}

#[tokio::test]
async fn a_cancelled_job_gets_sigterm_and_its_grace_and_is_reported_cancelled() {
    let server = ControlPlane::with_leases_of(Duration::from_secs(2));
    let data = tempfile::tempdir().unwrap();
    server.submit(Job::script(
        "main.sh",
        "trap 'echo cleaning up; exit 0' TERM; echo pid=$$; while true; do sleep 600 & wait $!; done",
    ));
    let runner = Runner::with(&server, data.path(), &[("MINITOWER_KILL_GRACE_PERIOD", "20s")]);
    let pid = runner.process(server.number("pid").await);
    server.cancel();
    let result = server.result().await;
    assert_eq!(result.status, ResultStatus::Cancelled);
    assert!(server.seen().log().contains("cleaning up"));
    ends(pid, Duration::from_secs(1)).await;
}

#[tokio::test]
async fn the_children_of_a_cancelled_job_get_the_grace_even_when_its_main_process_ends_at_once() {
    let server = ControlPlane::with_leases_of(Duration::from_secs(2));
    let data = tempfile::tempdir().unwrap();
    server.submit(Job::script(
        "main.sh",
        "sh -c 'trap \"sleep 0.3; echo child cleaned up; exit 0\" TERM; echo pid=$$; while true; do sleep 0.05; done' & wait",
    ));
    let runner = Runner::with(&server, data.path(), &[("MINITOWER_KILL_GRACE_PERIOD", "20s")]);
    let pid = runner.process(server.number("pid").await);
    server.cancel();
    assert_eq!(server.result().await.status, ResultStatus::Cancelled);
    assert!(server.seen().log().contains("child cleaned up"));
    ends(pid, Duration::from_secs(1)).await;
}

#[tokio::test]
async fn a_cancelled_job_that_ignores_sigterm_is_killed_after_the_grace() {
    let server = ControlPlane::with_leases_of(Duration::from_secs(2));
    let data = tempfile::tempdir().unwrap();
    server.submit(Job::script("main.sh", "trap '' TERM; echo pid=$$; while true; do sleep 1; done"));
    let runner = Runner::start(&server, data.path());
    let pid = runner.process(server.number("pid").await);
    server.cancel();
    let asked = Instant::now();
    assert_eq!(server.result().await.status, ResultStatus::Cancelled);
    assert!(asked.elapsed() >= Duration::from_secs(1), "the grace period is kept");
    ends(pid, Duration::from_secs(1)).await;
}

#[tokio::test]
async fn a_conflict_on_the_result_is_followed_by_cancelled_once() {
    let server = ControlPlane::start();
    let late = Gate::closed();
    server.plane.once("POST /runs/*/result", Answer::real().held_by(&late));
    let data = tempfile::tempdir().unwrap();
    server.submit(Job::script("main.sh", "true"));
    let _runner = Runner::start(&server, data.path());
    server.plane.seen("POST /runs/*/result", 1).await;
    server.cancel();
    late.open();
    let results = server.results(2).await;
    assert_eq!(results[0].status, ResultStatus::Completed);
    assert_eq!(results[1].status, ResultStatus::Cancelled);
    server.wait_for("the next poll", |seen| seen.polls().len() >= 2).await;
    assert_eq!(server.seen().result_count(), 2);
}

#[tokio::test]
async fn setup_failures_fail_the_run_and_stand_in_its_log() {
    let server = ControlPlane::start();
    let data = tempfile::tempdir().unwrap();
    let mut wrong_checksum = Job::script("main.sh", "echo must not run");
    wrong_checksum.sha256 = Some("0".repeat(64));
    let mut no_archive = Job::script("main.sh", "echo must not run");
    no_archive.archive = b"this is no archive".to_vec();
    no_archive.smuggled = true;
    let mut no_entrypoint = Job::project("main.py", &[("other.py", "")]);
    no_entrypoint.smuggled = true;
    let no_kind = Job::script("main.rb", "");
    for job in [wrong_checksum, no_archive, no_entrypoint, no_kind] {
        server.submit(job);
    }
    let _runner = Runner::start(&server, data.path());
    let results = server.results(4).await;
    let log = server.seen().log();
    for (result, expected) in results.iter().zip(["checksum", "cannot unpack", "no such file", ".py or .sh"])
    {
        assert_eq!((result.status, result.reason), (ResultStatus::Failed, Some(ResultReason::Setup)));
        let message = result.error_message.as_deref().unwrap();
        assert!(message.contains(expected), "{message}");
        assert!(log.contains(message), "{message} in {log}");
    }
    assert!(!log.contains("must not run"), "{log}");
}

#[tokio::test]
async fn bad_or_missing_settings_end_the_program_with_one_line_that_names_them() {
    for (variable, value) in [
        ("MINITOWER_SERVER_URL", ""),
        ("MINITOWER_SERVER_URL", "not a url"),
        ("MINITOWER_RUNNER_NAME", ""),
        ("MINITOWER_POLL_INTERVAL", "soon"),
        ("MINITOWER_LOG_FORMAT", "xml"),
    ] {
        let data = tempfile::tempdir().unwrap();
        let output = std::process::Command::new(env!("CARGO_BIN_EXE_minitower-runner"))
            .env("MINITOWER_SERVER_URL", "http://127.0.0.1:1")
            .env("MINITOWER_RUNNER_NAME", "tested")
            .env("MINITOWER_DATA_DIR", data.path())
            .env("MINITOWER_LOG", "off")
            .env(variable, value)
            .output()
            .unwrap();
        let words = String::from_utf8(output.stderr).unwrap();
        assert!(!output.status.success());
        assert_eq!(words.lines().count(), 1, "{words}");
        let named = if value == "not a url" { value } else { variable };
        assert!(words.contains(named), "{words}");
    }
}
