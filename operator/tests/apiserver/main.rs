//! The operator on a real API server without nodes: what the server makes of the definition (`crd`), and the whole program (`controller`,
//! `undefined`). `make e2e` runs it.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a helper of a test fails by panicking")]

mod api;
mod controller;
mod crd;
mod undefined;
