//! The use cases on a real SQLite file against a [`model`] that was written separately: random operations one after another
//! ([`sequence`]), and at the same time ([`parallel`]); with runs that wait, run again and go ([`waiting`]).
//!
//! A short version runs with the other tests, always with the same random numbers; `make reference` runs a long one with others each time. What
//! was found once is kept in `*.regressions` and tried first.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test may panic")]

mod client;
mod config;
mod database;
mod model;
mod orders;
mod parallel;
mod resolve;
mod rows;
mod sequence;
mod steps;
mod system;
mod vocabulary;
mod waiting;
