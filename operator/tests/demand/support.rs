//! A server on a loopback port, and the answers of a control plane.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use axum::Router;
use axum::http::header::CONTENT_TYPE;
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use minitower_operator::demand::{ControlPlane, ControlPlaneConfig};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;

pub(crate) const TOKEN: &str = "mto_the-token-of-the-tests";

pub(crate) const METRICS: &str = "minitower_build_info{version=\"0.1.0\"} 1\n\
    minitower_runs_pending{team=\"acme\",app=\"hello\",environment=\"default\"} 3\n";

pub(crate) const RUNNERS: &str = r#"{"runners":[{"runner_id":1,"name":"p-1","environment":"default","status":"online",
    "last_seen_at":"2026-01-02T03:04:05Z","scope":"platform","pool":"ns/p","instance_id":"i","busy":true,"run_id":7,
    "attempt_started_at":"2026-01-02T03:04:00Z","draining":false}]}"#;

pub(crate) fn json(status: u16, body: &str) -> Response {
    let headers = [(CONTENT_TYPE, "application/json")];
    (StatusCode::from_u16(status).unwrap(), headers, body.to_owned()).into_response()
}

pub(crate) fn refusal(status: u16, code: &str, message: &str) -> Response {
    json(status, &serde_json::json!({"error": {"code": code, "message": message}}).to_string())
}

/// `GET /admin/runners` with the token checked as a control plane does.
pub(crate) async fn runners(headers: HeaderMap) -> Response {
    match headers.get("authorization") {
        Some(token) if token.to_str().unwrap() == format!("Bearer {TOKEN}") => json(200, RUNNERS),
        _ => refusal(401, "unauthorized", "the token is unknown"),
    }
}

/// A control plane in good health that counts its scrapes.
pub(crate) fn healthy(scrapes: &Arc<AtomicUsize>) -> Router {
    let scrapes = Arc::clone(scrapes);
    let metrics = move || async move {
        scrapes.fetch_add(1, Ordering::SeqCst);
        METRICS
    };
    Router::new().route("/metrics", get(metrics)).route("/api/v1/admin/runners", get(runners))
}

/// Serves until the test's runtime ends.
pub(crate) async fn serve(router: Router) -> ControlPlaneConfig {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    tokio::spawn(async move { axum::serve(listener, router).await.unwrap() });
    config(url)
}

pub(crate) fn config(url: String) -> ControlPlaneConfig {
    ControlPlaneConfig { url, token: TOKEN.to_owned(), ca_file: None }
}

pub(crate) fn plane(config: &ControlPlaneConfig) -> ControlPlane {
    ControlPlane::new(config.clone()).unwrap()
}

/// A server that answers every connection's first request with these bytes and hangs up.
pub(crate) async fn raw(answer: String) -> ControlPlaneConfig {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    tokio::spawn(async move {
        loop {
            let (mut connection, _) = listener.accept().await.unwrap();
            let mut request = [0; 4096];
            assert!(connection.read(&mut request).await.unwrap() > 0);
            connection.write_all(answer.as_bytes()).await.unwrap();
        }
    });
    config(url)
}
