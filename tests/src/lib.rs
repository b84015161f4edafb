//! The harness of the black-box tests: it starts the built programs on loopback ports and temporary folders, speaks
//! raw HTTP to them, and leaves neither processes nor files behind.
//!
//! Nothing in here knows the product's own types: what is asserted is what travels, as JSON. Helpers fail by
//! panicking, with what was asked and what came back. `MINITOWER_TEST_KEEP=1` keeps the temporary folders.
#![allow(
    clippy::missing_panics_doc,
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a helper of a test fails by panicking"
)]
#![allow(clippy::needless_pass_by_value, reason = "callers write json!({…}) in place")]
#![allow(clippy::return_self_not_must_use, reason = "an assertion in a chain may be its end")]

pub mod artifact;
pub mod authority;
pub mod cli;
pub mod http;
pub mod identity;
pub mod invariants;
pub mod job;
pub mod leftovers;
pub mod process;
pub mod programs;
pub mod receiver;
pub mod runner;
pub mod schema;
pub mod server;
pub mod shape;
pub mod skip;
pub mod stores;
pub mod strangers;
pub mod team;
pub mod wait;

pub use crate::artifact::Artifact;
pub use crate::authority::Authority;
pub use crate::cli::Cli;
pub use crate::http::{Http, Response};
pub use crate::identity::{Browser, IdentityProvider};
pub use crate::job::JobBed;
pub use crate::process::{Program, Signal};
pub use crate::runner::{Lease, Runner};
pub use crate::server::Server;
pub use crate::strangers::Strangers;
pub use crate::team::Team;
