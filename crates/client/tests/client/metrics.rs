//! The server's metrics.

use minitower_client::{Client, Error, Metrics};
use minitower_test_plane::{Answer, Plane};

async fn whole(metrics: &mut Metrics) -> Result<Vec<u8>, Error> {
    let mut text = Vec::new();
    while let Some(chunk) = metrics.chunk().await? {
        text.extend_from_slice(&chunk);
    }
    Ok(text)
}

#[tokio::test]
async fn metrics_come_as_text_and_no_token_goes_there() {
    let plane = Plane::start();
    let client = Client::new(&plane.config()).unwrap();
    let text = whole(&mut client.metrics().await.unwrap()).await.unwrap();
    assert!(String::from_utf8(text).unwrap().contains("minitower_build_info{"));
    assert_eq!(plane.requests("GET /metrics")[0].header("authorization"), None);
}

#[tokio::test]
async fn metrics_longer_than_any_server_has_are_given_up() {
    let plane = Plane::start();
    plane.always("GET /metrics", Answer::change(|answer| answer.body.resize(257 * 1024 * 1024, b'x')));
    let client = Client::new(&plane.config()).unwrap();
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
    let plane = Plane::start();
    plane.once("GET /metrics", Answer::refusal(503, "unavailable", "away"));
    let error = Client::new(&plane.config()).unwrap().metrics().await.unwrap_err();
    assert_eq!(error.status(), Some(503));
}
