//! The real operator with no more rights than it is installed with, against a real API server and its controllers without nodes, and a real
//! control plane. What a kubelet and a runner would do is done by hand.
//!
//! One test at a time: there is one Lease. The API server is the tests' own, because another operator may live on any other.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a helper of a test fails by panicking")]

#[path = "../support/api.rs"]
#[allow(dead_code, reason = "each program uses its part")]
mod api;
mod bed;
mod leadership;
mod meddling;
mod outages;
mod queue;
mod removal;
mod rights;
mod undefined;
