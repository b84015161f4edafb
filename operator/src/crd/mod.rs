//! The `RunnerPool` resource: what a person may write, and what the operator answers.
//!
//! One file per part of the object, `rules` for what a schema's bounds cannot say, `schema` for the definition as a cluster takes it.
//! No decision is made here, and nothing here talks to a cluster.
#![allow(
    clippy::doc_markdown,
    reason = "what stands above a field is read with `kubectl explain`, as plain text"
)]

mod lists;
mod rules;
mod runner;
mod runner_pool;
mod scaling;
mod schema;
mod server;
mod status;
mod template;

pub use self::rules::{Rule, all as all_rules};
pub use self::runner::{Cache, EmptyDirCache, EphemeralCache, ImagePullPolicy, Resources, Runner};
pub use self::runner_pool::{RunnerPool, RunnerPoolSpec};
pub use self::scaling::{ScaleDown, ScaleUp, Scaling};
pub use self::schema::{FILE_NAME, crd, yaml};
pub use self::server::{OperatorTokenRef, RegistrationTokenRef, ServerRef, ServiceRef};
pub use self::status::{Demand, DemandState, LastDecision, RunnerPoolStatus};
pub use self::template::{Template, Volume};

/// The largest number of runners that a field may name: far above what one control plane serves, far below what an API server bears.
pub const MAX_RUNNERS: u32 = 10_000;
/// The longest time that a field may name, in seconds: a week.
pub const MAX_SECONDS: u32 = 7 * 24 * 60 * 60;
/// The longest stabilization window, in seconds: that of a HorizontalPodAutoscaler.
pub const MAX_WINDOW_SECONDS: u32 = 3600;
/// The longest name of a pool: the names of its pods and the values of their labels are made from it.
pub const MAX_NAME_LENGTH: usize = 50;
