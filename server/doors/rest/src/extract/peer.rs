//! Where a request comes from.

use std::net::{IpAddr, SocketAddr};

use axum::extract::FromRequestParts;
use http::request::Parts;

use crate::ApiError;

/// The other end of the connection, as [`serve`](crate::serve) puts it into each request.
#[derive(Debug, Clone, Copy)]
pub(crate) struct PeerAddr(pub(crate) SocketAddr);

/// The caller's address; none when the request came over no connection. Behind a proxy it is the proxy's: headers
/// that name another are not believed, as anyone can send them.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Peer(pub(crate) Option<IpAddr>);

impl<S: Sync> FromRequestParts<S> for Peer {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, ApiError> {
        Ok(Self(parts.extensions.get::<PeerAddr>().map(|PeerAddr(addr)| addr.ip().to_canonical())))
    }
}
