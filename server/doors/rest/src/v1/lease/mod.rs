//! Leases, and the calls under one.

pub(crate) mod attempt;
pub(crate) mod files;
pub(crate) mod poll;
