//! A team's environments.

pub(crate) mod create;
pub(crate) mod list;
