//! The door of HTTP in one program: every route with every caller, the accept loop, and what the chart leads to.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a helper of a test fails by panicking")]

mod fields;
#[allow(unreachable_pub, reason = "the fuzz target uses it from outside")]
mod fuzzed;
mod ingress;
mod matrix;
mod open_requests;
mod serve;
mod tokens;
