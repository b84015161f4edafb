//! Runs, as their team sees them.

pub(crate) mod create;
pub(crate) mod events;
pub(crate) mod explain;
pub(crate) mod list;
pub(crate) mod logs;
pub(crate) mod many;
pub(crate) mod read;
pub(crate) mod retry;
