//! From a project's folder to a deterministic `.tar.gz`.
//!
//! `plan` looks at the folder and decides what goes in, reading no more than ignore files and the script's beginning;
//! `write` makes the archive. Packing obeys the rules for paths, links, number and size that [`crate::archive`] enforces, so that nobody learns of a
//! mistake from a server that could have been found here.

mod error;
mod ignored;
mod notes;
mod plan;
mod script;
mod select;
mod write;

use std::io::Write;
use std::path::Path;

pub use error::PackError;
pub use notes::PlanNote;
pub use plan::{PackPlan, PlannedEntry, plan};
pub use select::PlannedKind;
pub use write::PackReport;

use crate::Towerfile;

/// Packs the project in `root`: the same tree gives the same bytes, whatever its owners, times and umask.
///
/// `progress` is told how many bytes of the files have been packed so far, of [`PackPlan::total_bytes`].
pub fn pack(
    root: &Path,
    towerfile: &Towerfile,
    out: impl Write,
    progress: impl FnMut(u64),
) -> Result<PackReport, PackError> {
    plan(root, towerfile)?.write(out, progress)
}
