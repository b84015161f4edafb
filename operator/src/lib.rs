//! The operator: makes the runner pods of each `RunnerPool` follow the queue of its control plane, without ever killing a run.
//!
//! | module | what |
//! |---|---|
//! | `crd` | what a person writes |
//! | `demand` | what a control plane says |
//! | `pool_controller` | what is done about it |
//! | `grants` | which pools of other namespaces may use the operator's own control plane |
//! | `leader` | one replica at a time |
//! | `calls` | calls to the API server, with a deadline |
//! | `settings`, `metrics`, `lifecycle` | the program around it |
//! | `pools` | for the Helm chart: the pools of a release |

pub mod calls;
pub mod crd;
pub mod demand;
pub mod grants;
pub mod leader;
pub mod lifecycle;
pub mod metrics;
pub mod pool_controller;
pub mod pools;
pub mod settings;
