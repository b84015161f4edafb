//! The runner protocol.

use std::time::Duration;

use minitower_client::RunnerClient;
use minitower_client::wire::admin::Ended;
use minitower_client::wire::runner::{LeaseRequest, LogBatch, Register, ResultStatus, RunResult, SignOff};
use minitower_client::wire::runs::{LogLine, Stream};
use minitower_test_plane::{Answer, Plane, Project, REGISTRATION_TOKEN, Runner, Team, archive};

use crate::{noise, plane};

/// A control plane with a run in its queue, a runner that has polled for nothing yet, and a client.
fn queued() -> (Plane, Team, Runner, RunnerClient) {
    let (plane, team, _) = plane();
    team.run("hello");
    let runner = plane.runner("r");
    let client = RunnerClient::new(&plane.config()).unwrap();
    (plane, team, runner, client)
}

#[tokio::test]
async fn a_poll_says_how_long_it_waits_and_reads_lease_and_date() {
    let (plane, _, runner, client) = queued();
    let dated = Answer::change(|answer| {
        answer.headers.insert("date", "Fri, 02 Jan 2026 03:04:05 GMT".parse().unwrap());
    });
    plane.once("POST /runs/lease", dated);
    let request = LeaseRequest { request_id: Some("r1".to_owned()), ..LeaseRequest::default() };
    let leased = client.lease(&runner.token, 20, &request).await.unwrap().unwrap();
    assert_eq!(leased.lease.lease_ttl_ms, Some(60_000));
    assert_eq!(leased.server_date.unwrap().to_string(), "2026-01-02T03:04:05Z");
    assert!(!format!("{leased:?}").contains(&leased.lease.lease_token));
    let asked = &plane.requests("POST /runs/lease")[0];
    assert_eq!((asked.query.as_deref(), asked.token()), (Some("wait=20"), Some(runner.token.as_str())));
    assert_eq!(asked.body, r#"{"request_id":"r1"}"#);
}

#[tokio::test]
async fn no_work_is_none_and_a_held_poll_outlives_the_request_timeout() {
    let plane = Plane::start();
    let runner = plane.runner("r");
    let mut config = plane.config();
    config.request_timeout = Duration::from_millis(10);
    let client = RunnerClient::new(&config).unwrap();
    assert!(client.lease(&runner.token, 1, &LeaseRequest::default()).await.unwrap().is_none());
}

#[tokio::test]
async fn registration_and_sign_off_carry_their_own_tokens() {
    let plane = Plane::start();
    let client = RunnerClient::new(&plane.config()).unwrap();
    let register =
        Register { name: "r".to_owned(), environment: Some("default".to_owned()), ..Register::default() };
    let registered = client.register(REGISTRATION_TOKEN, &register).await.unwrap();
    client.sign_off(&registered.token, &SignOff::default()).await.unwrap();
    let asked = &plane.requests("POST /runners/register")[0];
    assert_eq!(asked.token(), Some(REGISTRATION_TOKEN));
    assert_eq!(asked.body, r#"{"name":"r","environment":"default"}"#);
    assert_eq!(plane.requests("POST /runners/sign-off")[0].token(), Some(registered.token.as_str()));
}

#[tokio::test]
async fn calls_under_a_lease_carry_both_tokens() {
    let (plane, team, runner, client) = queued();
    let first = runner.lease();
    let attempt = client.attempt(&runner.token, &first);
    assert!(!attempt.start().await.unwrap().cancel_requested);
    attempt.heartbeat().await.unwrap();
    let line = LogLine {
        seq: 1,
        stream: Stream::Stdout,
        line: "hello".to_owned(),
        logged_at: minitower_client::wire::Timestamp::UNIX_EPOCH,
    };
    attempt.logs(&LogBatch { logs: vec![line] }).await.unwrap();
    let result = RunResult {
        status: ResultStatus::Completed,
        exit_code: Some(0),
        error_message: None,
        reason: None,
        output: None,
        logs: Vec::new(),
    };
    attempt.result(&result).await.unwrap();
    assert!(!format!("{attempt:?}").contains(&runner.token));
    let second = team.run("hello").run_id;
    let lease = runner.lease();
    client.attempt(&runner.token, &lease).release().await.unwrap();
    assert_eq!(lease.run_id, second);

    for (call, lease) in [
        ("POST /runs/1/start", &first),
        ("POST /runs/1/heartbeat", &first),
        ("POST /runs/1/logs", &first),
        ("POST /runs/1/result", &first),
        ("POST /runs/2/release", &lease),
    ] {
        let asked = plane.requests(call).remove(0);
        assert_eq!((asked.token(), asked.answered), (Some(runner.token.as_str()), Some(200)), "{call}");
        assert_eq!(asked.header("x-lease-token"), Some(lease.lease_token.as_str()), "{call}");
    }
}

const TOWERFILE: &str = "[app]\nname = 'hello'\nscript = 'main.py'\nimport_paths = ['lib', 'über']\n\
                         [app.timeout]\nseconds = 60\n";

#[tokio::test]
async fn an_artifact_is_a_stream_with_its_headers_read() {
    let (plane, team, runner, client) = queued();
    let noise = noise(100_000);
    let files = [("Towerfile", TOWERFILE), ("main.py", &noise), ("lib/a.py", ""), ("über/a.py", "")];
    let bytes = archive(&files);
    let version = team.version("hello", Project::with_towerfile(&files));
    let run = team.run("hello");
    let first = runner.lease();
    runner.exit(&first, 0);
    let lease = runner.lease();
    assert_eq!(lease.run_id, run.run_id);
    plane.once(
        "GET /runs/2/artifact",
        Answer::change(|answer| {
            let sha = answer.headers["x-artifact-sha256"].to_str().unwrap().to_uppercase();
            answer.headers.insert("x-artifact-sha256", sha.parse().unwrap());
        }),
    );
    let mut artifact = client.attempt(&runner.token, &lease).artifact().await.unwrap();
    assert_eq!(artifact.headers.sha256, version.artifact_sha256);
    assert_eq!(
        (artifact.headers.entrypoint.as_str(), artifact.headers.timeout_seconds),
        ("main.py", Some(60))
    );
    assert_eq!(artifact.headers.import_paths, ["lib", "über"]);
    assert_eq!(artifact.headers.content_length, Some(bytes.len() as u64));
    let mut read = Vec::new();
    while let Some(chunk) = artifact.chunk().await.unwrap() {
        read.extend_from_slice(&chunk);
    }
    assert!(read == bytes, "{} bytes of {}", read.len(), bytes.len());
}

#[tokio::test]
async fn an_artifact_with_unreadable_headers_is_refused() {
    let (plane, _, runner, client) = queued();
    let lease = runner.lease();
    let odd = Answer::change(|answer| {
        answer.headers.insert("x-import-paths", "lib".parse().unwrap());
    });
    plane.once("GET /runs/1/artifact", odd);
    let error = client.attempt(&runner.token, &lease).artifact().await.unwrap_err();
    assert!(error.to_string().contains("x-import-paths"), "{error}");
}

#[tokio::test]
async fn a_lost_lease_is_told_by_its_code() {
    let (plane, _, runner, client) = queued();
    let process = LeaseRequest { instance_id: Some("i".to_owned()), ..LeaseRequest::default() };
    let lease = runner.poll(process).unwrap();
    let ended = Ended { instance_id: Some("i".to_owned()), reason: None };
    plane.operator().runner_ended("r", &ended).await.unwrap();
    let error = client.attempt(&runner.token, &lease).heartbeat().await.unwrap_err();
    assert_eq!((error.status(), error.code()), (Some(410), Some("gone")));
}

#[tokio::test]
async fn a_deadline_of_ones_own_bounds_a_call_under_a_lease() {
    let (plane, _, runner, client) = queued();
    plane.once("POST /runs/1/heartbeat", Answer::hang());
    let attempt = client.attempt(&runner.token, &runner.lease());
    let error = attempt.with_timeout(Duration::from_millis(30)).heartbeat().await.unwrap_err();
    assert!(error.is_transport(), "{error}");
}
