//! A server on a loopback port, and values the tests share.

use axum::Router;
use axum::http::StatusCode;
use axum::http::header::CONTENT_TYPE;
use axum::response::{IntoResponse, Response};
use minitower_client::ClientConfig;
use tokio::net::TcpListener;

/// Serves `router` until the test's runtime ends.
pub(crate) async fn serve(router: Router) -> ClientConfig {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move { axum::serve(listener, router).await.unwrap() });
    ClientConfig::new(format!("http://{address}/"))
}

pub(crate) fn json(status: u16, body: &str) -> Response {
    let headers = [(CONTENT_TYPE, "application/json")];
    (StatusCode::from_u16(status).unwrap(), headers, body.to_owned()).into_response()
}
