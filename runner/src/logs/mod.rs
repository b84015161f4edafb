//! A run's log on its way from the job's streams to the control plane.
//!
//! `pump` reads the streams, `lines` cuts bytes into lines, `mask` keeps secrets out of them, `ends` bounds the log as a whole,
//! `spool` keeps in order what is not delivered yet, in memory and in `segments` on disk, and `delivery` sends it. [`RunLog`] joins
//! them. Nothing here knows how a job is run.

mod delivery;
mod ends;
mod line;
mod lines;
mod mask;
mod pump;
mod run_log;
mod segments;
mod spool;

pub(crate) use delivery::{Delivered, Progress, Sent, deliver, longest_pause, send};
pub(crate) use line::Loss;
pub(crate) use pump::Lines;
pub(crate) use run_log::RunLog;
