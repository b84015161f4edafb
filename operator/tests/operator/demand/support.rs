//! A control plane behind a proxy, and the operator's view of it.

use std::time::Duration;

use minitower_operator::demand::{ControlPlane, ControlPlaneConfig, ControlPlaneError, ErrorKind};
use minitower_test_plane::{Answer, OPERATOR_TOKEN, Plane};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;

/// The call for demand.
pub(crate) const DEMAND: &str = "GET /admin/demand";
/// The call for the demand of an older control plane.
pub(crate) const METRICS: &str = "GET /metrics";
/// The call for the runners.
pub(crate) const RUNNERS: &str = "GET /admin/runners";

/// What the operator needs to ask `plane`.
pub(crate) fn config(plane: &Plane) -> ControlPlaneConfig {
    config_of(plane.url())
}

/// What the operator needs to ask the control plane at that URL.
pub(crate) fn config_of(url: &str) -> ControlPlaneConfig {
    ControlPlaneConfig { url: url.to_owned(), token: OPERATOR_TOKEN.to_owned(), ca_file: None }
}

/// The operator's client of `plane`.
pub(crate) fn client(plane: &Plane) -> ControlPlane {
    ControlPlane::new(config(plane)).unwrap()
}

/// A control plane from before the call for demand.
pub(crate) fn older_plane() -> Plane {
    let plane = Plane::start();
    plane.always(DEMAND, Answer::refusal(404, "not_found", "no such endpoint"));
    plane
}

/// The error of a scrape that fails. Its text is one line that names the server and never holds the token.
pub(crate) async fn failure(config: &ControlPlaneConfig) -> ControlPlaneError {
    let error = ControlPlane::new(config.clone()).unwrap().scrape().await.unwrap_err();
    let text = error.told();
    assert!(text.starts_with(&format!("control plane {}: ", config.url)), "{text}");
    assert!(!text.contains('\n'), "{text}");
    assert!(!format!("{text} {error:?}").contains(&config.token), "{text} {error:?}");
    error
}

#[track_caller]
pub(crate) fn check(error: &ControlPlaneError, kind: ErrorKind, words: &str) {
    assert_eq!(error.kind(), kind, "{}", error.told());
    assert!(error.told().contains(words), "{}", error.told());
}

/// A server that answers each request with these bytes and hangs up: what no HTTP library would send.
pub(crate) async fn raw(answer: String) -> ControlPlaneConfig {
    serve(move |_| answer.clone(), false).await
}

/// An older control plane that answers `GET /metrics` with these bytes and hangs up.
pub(crate) async fn raw_older(metrics: String) -> ControlPlaneConfig {
    let unknown = "HTTP/1.1 404 Not Found\r\ncontent-length: 0\r\n\r\n";
    let answer =
        move |request: &str| if request.starts_with(METRICS) { metrics.clone() } else { unknown.to_owned() };
    serve(answer, false).await
}

/// A server that never comes to the end of an answer: a blank each tenth of a second.
pub(crate) async fn dripping() -> ControlPlaneConfig {
    serve(|_| "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n".to_owned(), true).await
}

/// Answers the first request of each connection, seen by its head.
async fn serve(answer: impl Fn(&str) -> String + Send + 'static, drips: bool) -> ControlPlaneConfig {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    tokio::spawn(async move {
        loop {
            let (mut connection, _) = listener.accept().await.unwrap();
            let mut request = [0; 4096];
            let length = connection.read(&mut request).await.unwrap();
            assert!(length > 0);
            let answer = answer(std::str::from_utf8(&request[..length]).unwrap());
            let mut sent = connection.write_all(answer.as_bytes()).await;
            while drips && sent.is_ok() {
                tokio::time::sleep(Duration::from_millis(100)).await;
                sent = connection.write_all(b"1\r\n \r\n").await;
            }
        }
    });
    config_of(&url)
}
