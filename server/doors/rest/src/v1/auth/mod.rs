//! How one may get in.

pub(crate) mod options;
