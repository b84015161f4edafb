//! Apps, versions, runs, attempts, leases, the queue, logs and runners: what MiniTower exists for.
//!
//! Three floors, as in every subject: [`domain`] decides and does nothing else, [`store`] alone speaks SQL for the subject's tables,
//! and the use cases beside them load, decide and save in one transaction.
//!
//! | face | what |
//! |---|---|
//! | [`Apps`] | apps, and uploads that become versions |
//! | [`Runs`] | create, list, cancel, logs; what jobs leave behind |
//! | [`Leases`] | the runner protocol: poll, and the calls under a lease |
//! | [`Runners`] | register, list, fence and forget runners |
//! | [`Engine`] | what the program itself needs: start, background tasks, metrics, close |
//!
//! Behind them `dispatch` wakes waiting polls, `gauges` and `metrics` follow what was committed, `presence` knows who was heard of.
//!
//! Invariants: at any moment at most one process acts for a run under a valid lease; what was answered is durable; what has ended
//! never changes; nothing in memory changes before its commit.

mod admin;
mod apps;
mod artifacts;
mod background;
mod bulk;
mod deletion;
mod demand;
mod dispatch;
pub mod domain;
mod endings;
mod engine;
mod error;
mod explain;
pub mod followed;
mod gates;
mod gauges;
mod granted;
mod idempotency;
mod inputs;
mod leases;
mod lists;
pub mod live;
mod log_sizes;
mod logs;
mod masked;
mod memory;
mod metrics;
mod objects;
mod poll;
mod pools;
mod positions;
mod presence;
mod queues;
mod repeat;
mod retention;
mod runners;
mod runs;
mod schema;
mod segments;
mod series;
mod settings;
mod settle;
mod storage;
pub mod store;
mod usage;
mod versions;
mod waiting;

use std::sync::Arc;

use minitower_kernel::Store;
use minitower_kernel::clock::Clock;
use minitower_kernel::objects::Objects;
use minitower_teams::Teams;
use tokio_util::sync::CancellationToken;

pub use admin::{Drained, ListRunners, ListedRunner};
pub use artifacts::Put;
pub use bulk::{Handled, MAX_RETRIED, Which};
pub use deletion::Unfinished;
pub use demand::{Demand, EnvironmentDemand, ListDemand};
pub use domain::retention::Retention;
pub use engine::{Engine, StartError, revive};
pub use error::{Absent, Error, Field, InputError, SchemaTooMuch, UploadError};
pub use explain::Explained;
pub use idempotency::{Created, Idempotency};
pub use leases::{Archive, MAX_LOG_BATCH, MAX_LOG_LINE_BYTES, Report, RunAndAttempt};
pub use lists::{ListRuns, Summary};
pub use logs::{LogPage, MAX_LOG_LINES, ReadLog, WholeLog};
pub use memory::Memory;
pub use objects::Upload;
pub use poll::{Grant, MAX_WAIT, Offer};
pub use pools::ReportPool;
pub use repeat::Changes;
pub use retention::Pruned;
pub use runners::{Register, Registered};
pub use runs::{CreateRun, MAX_RUN_WAIT};
pub use segments::PackLogs;
pub use settings::Settings;
pub use store::audited::AUDITED;
pub use store::logs::LogLine;
pub use store::objects::{named_after as objects_named_after, owner};
pub use versions::{UploadFields, Uploaded};

/// Apps, and uploads that become versions. A cheap clone.
#[derive(Debug, Clone)]
pub struct Apps(Arc<Shared>);

/// Runs as their team sees them. A cheap clone.
#[derive(Debug, Clone)]
pub struct Runs(Arc<Shared>);

/// The runner protocol. A cheap clone.
#[derive(Debug, Clone)]
pub struct Leases(Arc<Shared>);

/// Runners as they register, and as administrators see them. A cheap clone.
#[derive(Debug, Clone)]
pub struct Runners(Arc<Shared>);

/// What the faces share.
#[derive(Debug)]
struct Shared {
    store: Arc<Store>,
    objects: Objects,
    clock: Clock,
    settings: Settings,
    teams: Teams,
    memory: Arc<Memory>,
    schemas: schema::Cache,
    /// Cancelled when the server begins to stop: waiting polls are answered, background tasks end.
    stopping: CancellationToken,
}
