//! Answers to requests that meet no route.

use http::{Method, Uri};
use minitower_vocabulary::wire::error::ErrorCode;

use crate::ApiError;

/// 404 for an unknown path.
pub(crate) async fn not_found(uri: Uri) -> ApiError {
    ApiError::not_found(format!("there is nothing at {}", uri.path()))
}

/// 405 for a known path; the router adds `Allow`.
pub(crate) async fn method_not_allowed(method: Method, uri: Uri) -> ApiError {
    ApiError::new(
        ErrorCode::MethodNotAllowed,
        format!("{} does not take {method}; the Allow header names what it takes", uri.path()),
    )
}
