//! The runner protocol, against a server on a loopback port.
#![allow(missing_docs, clippy::unwrap_used)]

mod support;

use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::extract::RawQuery;
use axum::http::{HeaderMap, HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use minitower_client::RunnerClient;
use minitower_client::wire::runner::{Lease, LeaseRequest, Register, ResultStatus, RunResult};
use support::{json, serve};

const LEASE: &str = r#"{"run_id":7,"run_no":1,"app_id":2,"app_slug":"hello","version_no":3,"entrypoint":"main.py","attempt_id":9,"attempt_no":1,"lease_token":"secret-lease","lease_expires_at":"2026-01-02T03:05:05Z","lease_ttl_ms":60000}"#;
const STATE: &str = r#"{"attempt_id":9,"attempt_no":1,"status":"running","lease_expires_at":"2026-01-02T03:05:05Z","cancel_requested":false,"run_status":"running"}"#;

fn lease() -> Lease {
    serde_json::from_str(LEASE).unwrap()
}

#[tokio::test]
async fn a_poll_says_how_long_it_waits_and_reads_lease_and_date() {
    let router = Router::new().route(
        "/api/v1/runs/lease",
        post(|RawQuery(query): RawQuery, headers: HeaderMap, body: String| async move {
            assert_eq!(query.as_deref(), Some("wait=20"));
            assert_eq!(headers["authorization"], "Bearer mtr_x");
            assert_eq!(body, r#"{"request_id":"r1"}"#);
            let mut response = json(200, LEASE);
            response.headers_mut().insert("date", HeaderValue::from_static("Fri, 02 Jan 2026 03:04:05 GMT"));
            response
        }),
    );
    let runner = RunnerClient::new(&serve(router).await).unwrap();
    let request = LeaseRequest { request_id: Some("r1".to_owned()), ..LeaseRequest::default() };
    let leased = runner.lease("mtr_x", 20, &request).await.unwrap().unwrap();
    assert_eq!(leased.lease.lease_ttl_ms, Some(60_000));
    assert_eq!(leased.server_date.unwrap().to_string(), "2026-01-02T03:04:05Z");
    assert!(!format!("{leased:?}").contains("secret-lease"));
}

#[tokio::test]
async fn no_work_is_none_and_a_held_poll_outlives_the_request_timeout() {
    let router = Router::new().route(
        "/api/v1/runs/lease",
        post(|| async {
            tokio::time::sleep(Duration::from_millis(100)).await;
            StatusCode::NO_CONTENT
        }),
    );
    let mut config = serve(router).await;
    config.request_timeout = Duration::from_millis(10);
    let runner = RunnerClient::new(&config).unwrap();
    assert!(runner.lease("mtr_x", 1, &LeaseRequest::default()).await.unwrap().is_none());
}

#[tokio::test]
async fn registration_and_sign_off_carry_their_own_tokens() {
    let router = Router::new()
        .route(
            "/api/v1/runners/register",
            post(|headers: HeaderMap, body: String| async move {
                assert_eq!(headers["authorization"], "Bearer reg");
                assert_eq!(body, r#"{"name":"r","environment":"default"}"#);
                json(201, r#"{"runner_id":1,"name":"r","token":"mtr_new"}"#)
            }),
        )
        .route(
            "/api/v1/runners/sign-off",
            post(|headers: HeaderMap| async move {
                assert_eq!(headers["authorization"], "Bearer mtr_new");
                json(200, "{}")
            }),
        );
    let runner = RunnerClient::new(&serve(router).await).unwrap();
    let register =
        Register { name: "r".to_owned(), environment: Some("default".to_owned()), ..Register::default() };
    let registered = runner.register("reg", &register).await.unwrap();
    runner.sign_off(&registered.token).await.unwrap();
}

fn check(headers: &HeaderMap) {
    assert_eq!(headers["authorization"], "Bearer mtr_x");
    assert_eq!(headers["x-lease-token"], "secret-lease");
}

#[tokio::test]
async fn calls_under_a_lease_carry_both_tokens() {
    let state = |headers: HeaderMap| async move {
        check(&headers);
        json(200, STATE)
    };
    let ok = |headers: HeaderMap| async move {
        check(&headers);
        json(200, r#"{"status":"ok"}"#)
    };
    let router = Router::new()
        .route("/api/v1/runs/7/start", post(state))
        .route("/api/v1/runs/7/heartbeat", post(state))
        .route("/api/v1/runs/7/logs", post(ok))
        .route("/api/v1/runs/7/result", post(ok))
        .route("/api/v1/runs/7/release", post(ok));
    let attempt = RunnerClient::new(&serve(router).await).unwrap().attempt("mtr_x", &lease());
    assert!(!attempt.start().await.unwrap().cancel_requested);
    attempt.heartbeat().await.unwrap();
    attempt.logs(&minitower_client::wire::runner::LogBatch { logs: Vec::new() }).await.unwrap();
    let result = RunResult {
        status: ResultStatus::Completed,
        exit_code: Some(0),
        error_message: None,
        reason: None,
        output: None,
        logs: Vec::new(),
    };
    attempt.result(&result).await.unwrap();
    attempt.release().await.unwrap();
    assert!(!format!("{attempt:?}").contains("mtr_x"));
}

fn artifact(import_paths: &'static str) -> Response {
    let body = Body::from(vec![1_u8; 100_000]);
    let headers = [
        ("content-type", "application/gzip"),
        ("x-artifact-sha256", "AB12"),
        ("x-entrypoint", "main.py"),
        ("x-timeout-seconds", "60"),
        ("x-import-paths", import_paths),
    ];
    (headers, body).into_response()
}

#[tokio::test]
async fn an_artifact_is_a_stream_with_its_headers_read() {
    let router =
        Router::new().route("/api/v1/runs/7/artifact", get(|| async { artifact(r#"["lib","\u00fcber"]"#) }));
    let attempt = RunnerClient::new(&serve(router).await).unwrap().attempt("mtr_x", &lease());
    let mut artifact = attempt.artifact().await.unwrap();
    assert_eq!(artifact.headers.sha256, "ab12");
    assert_eq!(artifact.headers.timeout_seconds, Some(60));
    assert_eq!(artifact.headers.import_paths, ["lib", "über"]);
    assert_eq!(artifact.headers.content_length, Some(100_000));
    let mut bytes = 0;
    while let Some(chunk) = artifact.chunk().await.unwrap() {
        bytes += chunk.len();
    }
    assert_eq!(bytes, 100_000);
}

#[tokio::test]
async fn an_artifact_with_unreadable_headers_is_refused() {
    let router = Router::new().route("/api/v1/runs/7/artifact", get(|| async { artifact("lib") }));
    let attempt = RunnerClient::new(&serve(router).await).unwrap().attempt("mtr_x", &lease());
    let error = attempt.artifact().await.unwrap_err();
    assert!(error.to_string().contains("x-import-paths"), "{error}");
}

#[tokio::test]
async fn a_lost_lease_is_told_by_its_code() {
    let gone = || async { json(410, r#"{"error":{"code":"gone","message":"the lease has expired"}}"#) };
    let router = Router::new().route("/api/v1/runs/7/heartbeat", post(gone));
    let attempt = RunnerClient::new(&serve(router).await).unwrap().attempt("mtr_x", &lease());
    let error = attempt.heartbeat().await.unwrap_err();
    assert_eq!((error.status(), error.code()), (Some(410), Some("gone")));
}

#[tokio::test]
async fn a_deadline_of_ones_own_bounds_a_call_under_a_lease() {
    let router = Router::new().route("/api/v1/runs/7/heartbeat", post(std::future::pending::<String>));
    let attempt = RunnerClient::new(&serve(router).await).unwrap().attempt("mtr_x", &lease());
    let error = attempt.with_timeout(Duration::from_millis(30)).heartbeat().await.unwrap_err();
    assert!(error.is_transport(), "{error}");
}
