//! What happens to every request, whatever its route: a request id, one access log line, metrics, CORS, the answers
//! where no route is met, and the catching of panics. Authentication is in `auth`.

use std::any::Any;

use axum::body::Body;
use axum::response::IntoResponse as _;
use http::{Method, Response, Uri};
use minitower_vocabulary::wire::error::ErrorCode;
use tower_http::catch_panic::{CatchPanicLayer, ResponseForPanic};

use crate::ApiError;

pub(crate) mod cors;
pub(crate) mod observe;
pub(crate) mod volumes;

/// 404 for an unknown path.
pub(crate) async fn not_found(uri: Uri) -> ApiError {
    ApiError::not_found(format!("there is nothing at {}", uri.path()))
}

/// 405 for a known path; the router adds `Allow`.
pub(crate) async fn method_not_allowed(method: Method, uri: Uri) -> ApiError {
    ApiError::new(
        ErrorCode::MethodNotAllowed,
        format!("{} does not accept {method}; the Allow header lists what it accepts", uri.path()),
    )
}

/// The layer that catches panics.
pub(crate) fn catch_panics() -> CatchPanicLayer<Panicked> {
    CatchPanicLayer::custom(Panicked)
}

/// Logs the panic (inside the request's span, so under its id) and answers 500.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Panicked;

impl ResponseForPanic for Panicked {
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
