//! The runner: takes runs from the control plane and carries them out, one at a time.
//!
//! | module | what |
//! |---|---|
//! | `config` | what the operator sets |
//! | `agent` | the loop: register, poll, carry out, sign off |
//! | `session`, `labels`, `calls` | the runner token, what it is registered with, and the calls made with it |
//! | `lease` | how long a lease lasts, and extending it |
//! | `job` | one run, from its lease to its result |
//! | `steps`, `supervisor` | running a program so that nothing of it outlives the lease |
//! | `environment` | Python environments |
//! | `logs` | from the job's streams to the control plane |
//! | `data_dir`, `workspace`, `instance` | what lies on disk |
//! | `folder`, `removal`, `janitor` | using and removing folders that foreign code could write |
//! | `shared_memory` | removing what runs leave in a pod's |
//! | `fault`, `health` | the runner's own faults, and whether it takes runs |
//! | `termination_log` | last words, for Kubernetes |
//!
//! What a run *is* — queues, retries, states — is the control plane's; nothing of it is decided here.

mod agent;
mod calls;
mod clock;
pub mod config;
mod data_dir;
mod environment;
mod error;
mod fault;
mod folder;
mod health;
mod instance;
mod janitor;
mod job;
mod labels;
mod lease;
mod logs;
mod mask;
mod removal;
mod session;
mod shared_memory;
mod steps;
mod supervisor;
mod termination_log;
mod workspace;

pub use minitower_daemon::signals::Shutdown;

pub use crate::agent::run;
pub use crate::config::{Arguments, Config, ConfigError, SandboxMode};
pub use crate::error::RunnerError;
pub use crate::supervisor::{BadLimit, Limit, Limits, supervise_if_asked};
pub use crate::termination_log::TerminationLog;
