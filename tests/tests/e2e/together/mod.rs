//! Scenarios that run beside each other.

mod endings;
pub(crate) mod no_kills;
mod pod_deleted;
mod rollout;
mod sizes;
mod troubles;
mod waiting;
mod zero_to_n;
