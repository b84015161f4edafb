//! The operator from outside: what it makes of a control plane's answers (`demand`), what a real API server makes of its definition (`crd`),
//! and the whole program on a cluster without nodes (`controller`, `undefined`).
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a helper of a test fails by panicking")]

mod api;
mod controller;
mod crd;
mod demand;
mod undefined;
