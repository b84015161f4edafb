//! Runners, by themselves.

pub(crate) mod register;
pub(crate) mod sign_off;
