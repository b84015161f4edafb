//! The `RunnerPool` resource: what a person may write, and what the operator answers.
//!
//! There is one file for each part of the object. `bounds` holds the bounds of numbers and lists, `rules` what bounds cannot express, and
//! `schema` the definition as a cluster takes it. Nothing here makes a decision or talks to a cluster.
#![allow(clippy::doc_markdown, reason = "kubectl explain shows the docs of a field as plain text")]

mod bounds;
mod rules;
mod runner;
mod runner_pool;
mod scaling;
mod schema;
mod server;
mod status;
mod template;

pub use self::bounds::{MAX_NAME_LENGTH, MAX_RUNNERS, MAX_SECONDS, MAX_WINDOW_SECONDS};
pub use self::rules::{Rule, all as all_rules};
pub use self::runner::{Cache, EmptyDirCache, EphemeralCache, ImagePullPolicy, Resources, Runner};
pub use self::runner_pool::{RunnerPool, RunnerPoolSpec};
pub use self::scaling::{ScaleDown, ScaleUp, Scaling};
pub use self::schema::{FILE_NAME, crd, yaml};
pub use self::server::{OperatorTokenRef, RegistrationTokenRef, SecretRef, ServerRef, ServiceRef};
pub use self::status::{
    ConditionType, Demand, DemandState, LastDecision, LeavingRunner, MAX_LEAVING, RunnerPoolStatus,
};
pub use self::template::{Template, Volume};
