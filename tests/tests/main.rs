//! The tests of the whole product that need no cluster, in one program: it is linked once. `chart` and `e2e` beside it need one.
#![allow(clippy::unwrap_used, reason = "a helper of a test fails by panicking")]

mod architecture;
mod cli;
mod contract;
mod jobs;
mod protocol;
mod storage;
