//! The operator: makes the runner pods of each `RunnerPool` follow the queue of its control plane, without ever killing a run.
//!
//! `crd` is what a person writes, `demand` what a control plane says, `pool_controller` what is done about it.

pub mod crd;
pub mod demand;
