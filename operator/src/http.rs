//! Probes and metrics.

use std::time::Duration;

use axum::Router;
use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse as _, Response};
use axum::routing::get;
use tokio::net::TcpListener;

use crate::metrics::Metrics;

/// A controller that has not come round for so long hangs: demand is read at least every 30 s, and a reconcile has deadlines of seconds.
const HANGS_AFTER: Duration = Duration::from_secs(120);

/// Answers `/healthz`, `/readyz` and `/metrics` until it is dropped.
pub async fn serve(listener: TcpListener, metrics: Metrics) -> std::io::Result<()> {
    let router = Router::new()
        .route("/healthz", get(healthz))
        .route("/readyz", get(|| async { "ok\n" }))
        .route("/metrics", get(render))
        .with_state(metrics);
    axum::serve(listener, router).await
}

async fn healthz(State(metrics): State<Metrics>) -> Response {
    let idle = metrics.idle_for();
    if idle > HANGS_AFTER {
        let text = format!("the controller has not come round for {} s\n", idle.as_secs());
        return (StatusCode::SERVICE_UNAVAILABLE, text).into_response();
    }
    format!("ok, came round {:.1} s ago\n", idle.as_secs_f64()).into_response()
}

async fn render(State(metrics): State<Metrics>) -> Response {
    match metrics.render() {
        Ok(text) => ([(header::CONTENT_TYPE, "text/plain; version=0.0.4")], text).into_response(),
        Err(error) => (StatusCode::INTERNAL_SERVER_ERROR, format!("{error}\n")).into_response(),
    }
}
