//! Typed HTTP client of the control plane, shared by the CLI, the runner and the operator.
//!
//! [`Client`] speaks without a credential and makes a [`TeamClient`] from a team token; [`RunnerClient`] speaks
//! the runner protocol. One file per resource. Here live transport, timeouts and typed errors; no retries, no
//! printing and no rules: those belong to the caller.
//!
//! Tokens are never part of an error or of `Debug` output.

mod apps;
mod artifacts;
mod attempt;
mod audit;
mod auth;
mod config;
mod demand;
mod environments;
mod error;
mod health;
mod limits;
mod live;
mod metrics;
mod notifications;
mod pages;
mod retention;
mod runner;
mod runners;
mod runs;
mod secrets;
mod team;
mod transport;
mod versions;

pub use crate::artifacts::RunArtifact;
pub use crate::attempt::{Artifact, ArtifactHeaders, AttemptClient};
pub use crate::auth::{Client, SignIn};
pub use crate::config::{Carried, ClientConfig, OnIgnored};
pub use crate::error::{Error, TransportReason};
pub use crate::live::{LogEvent, LogStream, MoveEvent, MoveStream};
pub use crate::metrics::Metrics;
pub use crate::runner::{Leased, RunnerClient};
pub use crate::runners::RunnerFilter;
pub use crate::runs::{LogFilter, RunFilter};
pub use crate::team::TeamClient;
pub use crate::versions::Upload;

/// The wire types, and what is wrong with a text that is none, so that users of this crate need no second dependency.
pub use minitower_vocabulary::{json, wire};
