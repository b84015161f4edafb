//! Parameters of the path.

use axum::extract::FromRequestParts;
use axum::extract::path::ErrorKind;
use axum::extract::rejection::PathRejection;
use http::request::Parts;
use serde::de::DeserializeOwned;

use crate::ApiError;

/// The path's parameters, decoded into a struct whose fields have the names of the route template.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Path<T>(pub(crate) T);

impl<T, S> FromRequestParts<S> for Path<T>
where
    T: DeserializeOwned + Send,
    S: Send + Sync,
{
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, ApiError> {
        match axum::extract::Path::<T>::from_request_parts(parts, state).await {
            Ok(axum::extract::Path(value)) => Ok(Self(value)),
            Err(rejection) => Err(refuse(&rejection)),
        }
    }
}

fn refuse(rejection: &PathRejection) -> ApiError {
    let PathRejection::FailedToDeserializePathParams(inner) = rejection else {
        return ApiError::internal(rejection);
    };
    match inner.kind() {
        ErrorKind::ParseErrorAtKey { key, value, expected_type } => ApiError::invalid_request(format!(
            "`{value}` in the path is no valid {key}: {} is expected",
            if *expected_type == "i64" { "a whole number" } else { expected_type }
        )),
        ErrorKind::InvalidUtf8InPathParam { key } => {
            ApiError::invalid_request(format!("the {key} in the path is not valid UTF-8"))
        }
        kind => ApiError::invalid_request(format!("the path is not valid: {kind}")),
    }
}
