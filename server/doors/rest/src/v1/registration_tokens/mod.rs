//! A team's own registration tokens.

pub(crate) mod create;
pub(crate) mod delete;
pub(crate) mod list;
