//! Keeps the Deployments of every pool as its `RunnerPool` and its queue ask for: `observe` → `plan` → `apply` → `status`.
//!
//! | file | what |
//! |---|---|
//! | `pool` | a `RunnerPool` that makes sense |
//! | `build` | the pod template, its revision, the Deployment |
//! | `observe` | what there is |
//! | `plan` | what is to be done: pure |
//! | `apply` | doing it |
//! | `problems`, `status`, `events` | what a person is told |
//! | `reconcile` | one pool, once |
//! | `guard` | whether the admission policy is there |
//! | `sweep` | runners whose pods are gone |
//! | `run` | watches, stores, the controller |

pub mod apply;
pub mod build;
pub mod events;
pub mod guard;
pub mod observe;
pub mod plan;
pub mod pool;
pub mod problems;
pub mod reconcile;
pub mod run;
pub mod status;
pub mod sweep;

#[cfg(test)]
mod tests;
