//! Leases and the calls under one.

pub(crate) mod artifact;
pub(crate) mod heartbeat;
pub(crate) mod logs;
pub(crate) mod poll;
pub(crate) mod put_artifact;
pub(crate) mod release;
pub(crate) mod result;
pub(crate) mod start;
