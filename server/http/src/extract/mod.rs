//! What handlers take out of a request: JSON bodies, ids in the path, queries. Each refuses with an
//! [`ApiError`](crate::ApiError) that names the thing and the rule. No business rules here.

mod body;
mod json;
mod path;
mod query;

pub(crate) use body::{content_length, discard, next_chunk};
pub(crate) use json::{Json, OptionalJson};
pub(crate) use path::Path;
pub(crate) use query::Query;
