//! The definition of `RunnerPool`: what it says (`schema`), and what a real API server makes of it, through `kubectl` as a person uses it
//! (`accepted`, `refused`, `subresources`), and through the program for the pools of a folder (`pools`).
//!
//! `MINITOWER_TEST_KUBECONFIG` names a cluster to use instead of an API server of the tests' own; the definition stays there.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a helper of a test fails by panicking")]

mod accepted;
#[path = "../support/api.rs"]
#[allow(dead_code, reason = "each program uses its part")]
mod api;
mod objects;
mod pools;
mod refused;
mod schema;
mod subresources;
