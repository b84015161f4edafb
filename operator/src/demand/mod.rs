//! What a control plane says: how many runs wait, what its runners do, and what may be believed of it when it is silent.
//!
//! | file | what |
//! |---|---|
//! | `exposition` | the two metrics that matter, out of Prometheus' text format |
//! | `snapshot` | one good answer |
//! | `judgement` | Known, Stale or Unknown: pure |
//! | `control_plane` | the calls, fences among them |
//! | `error` | who said what, for a person to act on |
//! | `hub` | one scrape per control plane and tick, shared by all pools |
//!
//! Nothing of Kubernetes lives here, and no decision about sizes. Silence is never read as zero.

mod control_plane;
mod error;
mod exposition;
mod hub;
mod judgement;
mod snapshot;

pub use control_plane::{ControlPlane, ControlPlaneConfig, Drained, Ended, Forgotten};
pub use error::{ControlPlaneError, ErrorKind};
pub use hub::{Hub, Reading};
pub use judgement::{Demand, STALE_LIMIT, judge};
pub use snapshot::{Pending, RunnerView, Snapshot};
