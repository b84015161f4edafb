//! What a control plane says: how many runs wait, what its runners do, and how far its word counts while it is silent.
//!
//! | file | what |
//! |---|---|
//! | `control_plane` | the calls: demand, runners, fences |
//! | `exposition` | the demand of older control planes, from their metrics |
//! | `snapshot` | one good answer |
//! | `judgement` | Known, Stale or Unknown: pure |
//! | `error` | what went wrong, and what a person can do about it |
//! | `hub` | one scrape per control plane and tick, shared by all pools |
//!
//! Nothing of Kubernetes lives here, and no decision about sizes. Silence is never read as zero.

mod control_plane;
mod error;
mod exposition;
mod hub;
mod judgement;
mod snapshot;

pub use self::control_plane::{ControlPlane, ControlPlaneConfig, Drained, Ended, Forgotten};
pub use self::error::{Call, Cause, ControlPlaneError, ErrorKind};
pub use self::hub::{Hub, Reading};
pub use self::judgement::{Demand, STALE_LIMIT, judge};
pub use self::snapshot::{Pending, RunnerView, Scope, Snapshot};
