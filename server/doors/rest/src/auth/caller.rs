//! Who called, as handlers take it.

use axum::extract::FromRequestParts;
use http::Extensions;
use http::request::Parts;
use minitower_runs::domain::runner::RunnerPrincipal;

use crate::ApiError;

/// What the guard of the route found out about its caller.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Caller<T>(pub(crate) T);

/// A runner that shows a lease token. Whether the token holds is decided together with the call.
#[derive(Debug, Clone)]
pub(crate) struct LeaseHolder {
    pub(crate) runner: RunnerPrincipal,
    pub(crate) lease_token: String,
}

/// The guard put no such caller into the request: the route's row in the table and its handler disagree.
#[derive(Debug, thiserror::Error)]
#[error("the route's access yields no {0}")]
struct WrongAccess(&'static str);

impl<T, S> FromRequestParts<S> for Caller<T>
where
    T: Clone + Send + Sync + 'static,
    S: Sync,
{
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, ApiError> {
        of(&parts.extensions)
    }
}

fn of<T: Clone + Send + Sync + 'static>(extensions: &Extensions) -> Result<Caller<T>, ApiError> {
    extensions
        .get::<T>()
        .cloned()
        .map(Caller)
        .ok_or_else(|| ApiError::internal(&WrongAccess(std::any::type_name::<T>())))
}
