//! The endpoints, one a file: parse, call the use case, render. No rules: what may happen is decided by the app
//! and the domain below it.

pub(crate) mod health;
