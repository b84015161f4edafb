//! The server's metrics, against a server on a loopback port.
#![allow(missing_docs, clippy::unwrap_used)]

mod support;

use axum::Router;
use axum::http::HeaderMap;
use axum::routing::get;
use minitower_client::{Client, Error, Metrics};
use support::{json, serve};

async fn whole(metrics: &mut Metrics) -> Result<Vec<u8>, Error> {
    let mut text = Vec::new();
    while let Some(chunk) = metrics.chunk().await? {
        text.extend_from_slice(&chunk);
    }
    Ok(text)
}

#[tokio::test]
async fn metrics_come_as_text_and_no_token_goes_there() {
    let router = Router::new().route(
        "/metrics",
        get(|headers: HeaderMap| async move {
            assert!(!headers.contains_key("authorization"));
            "x 1\n".repeat(100_000)
        }),
    );
    let client = Client::new(&serve(router).await).unwrap();
    let mut metrics = client.metrics().await.unwrap();
    assert_eq!(whole(&mut metrics).await.unwrap().len(), 400_000);
}

#[tokio::test]
async fn metrics_longer_than_any_server_has_are_given_up() {
    let router = Router::new().route("/metrics", get(|| async { vec![b'x'; 257 * 1024 * 1024] }));
    let client = Client::new(&serve(router).await).unwrap();
    let mut metrics = client.metrics().await.unwrap();
    let error = loop {
        match metrics.chunk().await {
            Ok(chunk) => assert!(chunk.is_some(), "all was read"),
            Err(error) => break error,
        }
    };
    assert!(error.to_string().contains("more than 268435456 bytes"), "{error}");
}

#[tokio::test]
async fn a_refusal_is_an_error_as_everywhere() {
    let router = Router::new().route(
        "/metrics",
        get(|| async { json(503, r#"{"error":{"code":"unavailable","message":"away"}}"#) }),
    );
    let error = Client::new(&serve(router).await).unwrap().metrics().await.unwrap_err();
    assert_eq!(error.status(), Some(503));
}
