//! What happens to every request, whatever its route: a request id, one access log line, metrics, CORS, and the
//! catching of panics. Nothing that depends on a route's meaning; authentication is in `auth`.

pub(crate) mod cors;
mod fallback;
pub(crate) mod observe;
pub(crate) mod panic;
mod request_id;

pub(crate) use fallback::{method_not_allowed, not_found};
