//! What handlers take out of a request: JSON bodies, ids in the path, queries. Each refuses with an
//! [`ApiError`](crate::ApiError) that names the thing and the rule. No business rules here.

pub(crate) mod body;
mod fields;
mod given;
mod json;
mod parts;
mod told;
mod wrong;

pub(crate) use body::{CHUNK_DEADLINE, content_length, next_chunk, too_slow};
pub(crate) use json::{Json, OptionalJson, SmallJson};
pub(crate) use parts::{Named, Path, Peer, PeerAddr, Query, Repeated};
pub(crate) use wrong::shortened;
