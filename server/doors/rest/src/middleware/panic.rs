//! A panicking handler costs its own request, answered as an error like any other.

use std::any::Any;

use axum::body::Body;
use axum::response::IntoResponse as _;
use http::Response;
use tower_http::catch_panic::{CatchPanicLayer, ResponseForPanic};

use crate::ApiError;

/// The layer that catches panics.
pub(crate) fn layer() -> CatchPanicLayer<Answer> {
    CatchPanicLayer::custom(Answer)
}

/// Logs the panic (inside the request's span, so under its id) and answers 500.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Answer;

impl ResponseForPanic for Answer {
    type ResponseBody = Body;

    fn response_for_panic(&mut self, payload: Box<dyn Any + Send + 'static>) -> Response<Body> {
        let message = payload
            .downcast_ref::<&str>()
            .copied()
            .or_else(|| payload.downcast_ref::<String>().map(String::as_str))
            .unwrap_or("no message");
        tracing::error!(panic = message, "a handler panicked");
        ApiError::internal_logged().into_response()
    }
}
