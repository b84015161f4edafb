//! The endpoints below `/api/v1`, one a file: parse, call the use case, render. No rules: what may happen is
//! decided by the app and the domain below it.

pub(crate) mod admin;
pub(crate) mod apps;
pub(crate) mod artifacts;
pub(crate) mod auth;
pub(crate) mod environments;
pub(crate) mod lease;
mod params;
pub(crate) mod registration_tokens;
pub(crate) mod runners;
pub(crate) mod runs;
pub(crate) mod teams;
pub(crate) mod tokens;
pub(crate) mod versions;
