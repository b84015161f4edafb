//! The parts of the controller (`pools`, `builds`, `observations`, `problems`, `statuses`, `standings`, `counted`), and the whole of it against an API
//! server and a control plane that record every call (`world`, `scenarios`).
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a helper of a test fails by panicking")]

mod builds;
mod counted;
pub(super) mod objects;
mod observations;
mod pools;
mod problems;
mod scenarios;
mod standings;
mod statuses;
mod world;
