//! The operator: makes the runner pods of each `RunnerPool` follow the queue of its control plane, without ever killing a run.
//!
//! `crd` is what a person writes, `demand` what a control plane says, `pool_controller` what is done about it. `leader` keeps it to one replica
//! at a time, `lifecycle` holds it all together. `pools` is for the Helm chart: it makes the pools of a release.

pub mod clock;
pub mod crd;
pub mod demand;
pub mod http;
pub mod leader;
pub mod lifecycle;
pub mod metrics;
pub mod pool_controller;
pub mod pools;
pub mod settings;
