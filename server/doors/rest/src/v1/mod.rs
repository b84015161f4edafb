//! The endpoints, one file per resource: each holds its handlers, their descriptions and their errors.
//!
//! A handler parses, calls the use case and renders. It holds no rules: the subjects decide what may happen.

pub(crate) mod admin;
pub(crate) mod apps;
pub(crate) mod artifacts;
pub(crate) mod audit;
pub(crate) mod environments;
pub(crate) mod lease;
pub(crate) mod limits;
pub(crate) mod notifications;
mod params;
pub(crate) mod pools;
mod ranges;
pub(crate) mod retention;
pub(crate) mod runners;
pub(crate) mod runs;
pub(crate) mod secrets;
pub(crate) mod sign_in;
pub(crate) mod teams;
pub(crate) mod tokens;
pub(crate) mod versions;
