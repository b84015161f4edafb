//! What handlers take out of the head of a request: the path, the query, the other end of the connection.

use std::marker::PhantomData;
use std::net::{IpAddr, SocketAddr};

use axum::extract::path::ErrorKind;
use axum::extract::rejection::PathRejection;
use axum::extract::{FromRequestParts, MatchedPath};
use http::request::Parts;
use serde::de::DeserializeOwned;

use super::given;
use super::wrong::shortened;
use crate::{ApiError, strict};

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
            "{} in the path is not a valid {}: it must be {}",
            shortened(value),
            called(key),
            if *expected_type == "i64" { "a whole number" } else { "what the API's description says" }
        )),
        ErrorKind::InvalidUtf8InPathParam { key } => {
            ApiError::invalid_request(format!("the {} in the path is not valid UTF-8", called(key)))
        }
        _ => ApiError::invalid_request("the path is not one that the API's description names"),
    }
}

/// What a parameter of a path is called where its name alone says too little.
fn called(key: &str) -> &str {
    match key {
        "no" => "no (number of a version)",
        "path" => "path of an artifact",
        _ => key,
    }
}

/// The query, decoded into a struct. The guard of the route has refused parameters that its description does not name.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Query<T>(pub(crate) T);

impl<T, S> FromRequestParts<S> for Query<T>
where
    T: DeserializeOwned,
    S: Send + Sync,
{
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, ApiError> {
        given::decode(parts.uri.query().unwrap_or_default()).map(Self).map_err(|wrong| {
            let route = parts.extensions.get::<MatchedPath>();
            wrong.of_query(|name| strict::range(&parts.method, route?.as_str(), name))
        })
    }
}

/// A parameter of the query that may come more than once.
pub(crate) trait Named {
    /// Its name.
    const NAME: &'static str;
}

/// All values of one parameter of the query, in their order.
#[derive(Debug, Clone)]
pub(crate) struct Repeated<N>(pub(crate) Vec<String>, pub(crate) PhantomData<N>);

impl<N: Named, S: Sync> FromRequestParts<S> for Repeated<N> {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, ApiError> {
        let pairs = form_urlencoded::parse(parts.uri.query().unwrap_or_default().as_bytes());
        let values = pairs.filter(|(name, _)| name == N::NAME).map(|(_, value)| value.into_owned());
        Ok(Self(values.collect(), PhantomData))
    }
}

/// The client's address, as [`serve`](crate::serve()) puts it into each request: the other end of the connection, or whom trusted proxies name.
#[derive(Debug, Clone, Copy)]
pub(crate) struct PeerAddr(pub(crate) SocketAddr);

/// The caller's address; none when the request came over no connection.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Peer(pub(crate) Option<IpAddr>);

impl<S: Sync> FromRequestParts<S> for Peer {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, ApiError> {
        Ok(Self(parts.extensions.get::<PeerAddr>().map(|PeerAddr(addr)| addr.ip().to_canonical())))
    }
}
