//! What watches the server: is it alive, is it ready, what does it count, what is it.

pub(crate) mod live;
pub(crate) mod metrics;
pub(crate) mod ready;
pub(crate) mod version;
