//! Who is told of which runs: notifications of teams, the outbox of what is to be sent, and the sending by webhook, Slack and email.
//!
//! | face | what |
//! |---|---|
//! | [`Notifications`] | create, list, change and delete notifications; list deliveries, try and repeat them; start and stop |
//! | [`Memory`] | follows the commits: which teams want to be told of what, and what is to be sent when |
//! | [`Settings`] | what the program's configuration decides |
//!
//! Invariants: a delivery is written in the transaction that ends its run, so it is sent at least once, whenever the server is killed;
//! all attempts at it have the same id. A team without notifications costs the end of a run one look into memory. What waits to be sent
//! is bounded, and what is dropped is told. Only this crate names its tables: `notifications`, `notification_counts`,
//! `notification_deliveries`, `notification_attempts`.

mod deliveries;
pub mod domain;
mod error;
mod lateness;
mod mail;
mod memory;
mod metrics;
mod notifications;
mod outbox;
mod queue;
mod seal;
mod sender;
mod settings;
pub mod store;
mod targets;
mod upkeep;
mod watch;

use std::sync::Arc;

use minitower_kernel::Store;
use minitower_kernel::clock::Clock;
use minitower_kernel::outbound::Outbound;
use minitower_runs::Apps;
use minitower_runs::domain::run::Run;
use minitower_teams::Teams;
use tokio_util::task::TaskTracker;

pub use deliveries::ListedDelivery;
pub use error::Error;
pub use mail::{BadSmtp, Smtp};
pub use memory::Memory;
pub use notifications::{Change, MOST_OF_A_TEAM, Made, New};
pub use settings::Settings;
pub use store::audited::AUDITED;
pub use targets::{WantedTarget, masked};

/// How the API shows a run. None: it cannot be shown.
pub type Shown = fn(Run) -> Option<serde_json::Map<String, serde_json::Value>>;

/// Notifications, and what became of them. A cheap clone.
#[derive(Debug, Clone)]
pub struct Notifications(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    store: Arc<Store>,
    clock: Clock,
    settings: Settings,
    teams: Teams,
    apps: Apps,
    outbound: Outbound,
    memory: Arc<Memory>,
    mailer: Option<mail::Mailer>,
    /// Requests that are under way.
    sending: TaskTracker,
}
