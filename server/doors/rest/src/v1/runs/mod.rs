//! Runs, as their team sees them.

pub(crate) mod create;
pub(crate) mod list;
pub(crate) mod logs;
pub(crate) mod read;
