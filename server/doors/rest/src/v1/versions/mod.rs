//! Versions of an app.

pub(crate) mod create;
pub(crate) mod list;
pub(crate) mod show;
pub(crate) mod upload;
