//! The control plane without HTTP on a real database: what the domain decides is what the tables hold, whoever races.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test may panic")]

mod again;
mod asking;
mod deletion;
mod explaining;
mod fairness;
mod keeping;
mod leases;
mod limits;
mod live;
mod retention;
mod retries;
mod runners;
mod segments;
mod support;
mod waiting;
