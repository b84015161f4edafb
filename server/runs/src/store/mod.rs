//! The only SQL that names apps, versions, runs, attempts, logs, artifacts, labels, runners and their fences, and what teams have used.
//!
//! Rows become domain types on the way out, and a row that makes no sense is a `StoreError::Inconsistent`. No rule lives here: guards
//! re-check row versions, and the schema in `migrations/` refuses what must never be.

pub mod apps;
pub mod artifacts;
pub mod attempts;
pub mod audited;
pub mod counts;
pub mod deletion;
pub mod dependencies;
pub mod events;
pub mod fences;
pub mod followed;
pub mod gates;
pub mod idempotency;
pub(crate) mod inputs;
pub mod labels;
pub mod logs;
pub mod objects;
pub mod queue;
pub mod retention;
pub mod run_lists;
pub mod runners;
pub mod runs;
pub mod segments;
pub(crate) mod usage;
pub mod versions;

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::expect_used, reason = "a test may panic")]
mod tests;
