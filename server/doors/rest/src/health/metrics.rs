//! `GET /metrics`.

use axum::extract::State;
use axum::response::{IntoResponse, Response};
use http::HeaderValue;
use http::header::CONTENT_TYPE;

use crate::{ApiError, HttpState};

/// Writes all metrics in Prometheus' text format.
pub(crate) async fn metrics(State(state): State<HttpState>) -> Result<Response, ApiError> {
    let mut text = String::new();
    // The counts behind the gauges were loaded before the server began to listen.
    state
        .metrics()
        .encode(&state.subject_metrics(), &mut text)
        .map_err(|error| ApiError::internal(&error))?;
    Ok(([(CONTENT_TYPE, HeaderValue::from_static(prometheus::TEXT_FORMAT))], text).into_response())
}
