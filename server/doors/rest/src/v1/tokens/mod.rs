//! Team tokens.

pub(crate) mod create;
pub(crate) mod me;
