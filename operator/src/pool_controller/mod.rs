//! The controller: keeps the Deployments of every pool as its `RunnerPool` and its queue ask for.
//!
//! | file | what |
//! |---|---|
//! | `run` | the watches, their stores, the controller |
//! | `reconcile` | one pool, once: dereference → validate → build → apply → status |
//! | `pool` | a valid `RunnerPool` |
//! | `build` | the pod template, its revision, the Deployment |
//! | `observe` | what exists |
//! | `leaving` | runners on their way out |
//! | `neighbours` | other pools of the same environment |
//! | `plan` | what is to be done: pure |
//! | `apply` | doing it: fence, mark, shrink |
//! | `shield` | what keeps a busy pod from being evicted |
//! | `problems`, `status`, `events` | what a person is told |
//! | `standing` | what the control plane is told, for people whose runs wait |
//! | `guard` | whether the admission policy exists |
//! | `registration` | the Secret of a pool that names none |
//! | `sweep` | runners whose pods are gone, tokens whose pools are gone |

pub mod apply;
pub mod build;
pub mod events;
pub mod guard;
pub mod leaving;
pub mod neighbours;
pub mod observe;
pub mod plan;
pub mod pool;
pub mod problems;
pub mod reconcile;
pub mod registration;
pub mod run;
pub mod shield;
pub mod standing;
pub mod status;
pub mod sweep;

#[cfg(test)]
mod tests;
