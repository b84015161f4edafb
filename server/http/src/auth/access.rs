//! What a route asks of its caller, and the guard that asks it.

use axum::extract::{Request, State};
use axum::middleware::Next;
use axum::response::{IntoResponse as _, Response};
use http::HeaderMap;

use super::bearer;
use crate::extract::discard;
use crate::{ApiError, HttpState};

/// The credential a route opens to. A missing, unknown or wrong-kind one is 401.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Access {
    /// None.
    Public,
    /// The bootstrap token; without a configured one the route answers 404.
    Bootstrap,
}

/// What a [`guard`] needs to know.
#[derive(Clone)]
pub(crate) struct Post {
    pub(crate) state: HttpState,
    pub(crate) access: Access,
}

/// Lets a request through to its handler, or answers for it. Runs before the handler's extractors: a caller
/// without a credential learns nothing about paths, headers or bodies.
pub(crate) async fn guard(State(post): State<Post>, request: Request, next: Next) -> Response {
    match authenticate(&post, request.headers()) {
        Ok(()) => next.run(request).await,
        Err(refusal) => {
            let (parts, body) = request.into_parts();
            discard(&parts.headers, body.into_data_stream()).await;
            refusal.into_response()
        }
    }
}

fn authenticate(post: &Post, headers: &HeaderMap) -> Result<(), ApiError> {
    match post.access {
        Access::Public => Ok(()),
        Access::Bootstrap => {
            let Some(expected) = &post.state.config().bootstrap_token else {
                return Err(ApiError::not_found("bootstrapping is off: the server has no bootstrap token"));
            };
            let presented = bearer::token(headers).ok_or_else(missing)?;
            if expected.matches(presented) { Ok(()) } else { Err(refused()) }
        }
    }
}

fn missing() -> ApiError {
    ApiError::unauthorized("this call needs `Authorization: Bearer` and a token")
}

fn refused() -> ApiError {
    ApiError::unauthorized("the token is unknown, no longer valid, or not of the kind this call needs")
}
