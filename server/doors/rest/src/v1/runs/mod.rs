//! Runs, as their team sees them.

pub(crate) mod attempts;
pub(crate) mod cancel;
pub(crate) mod create;
pub(crate) mod list;
pub(crate) mod list_of_app;
pub(crate) mod logs;
pub(crate) mod show;
pub(crate) mod summary;
