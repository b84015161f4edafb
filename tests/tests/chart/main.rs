//! The life of the Helm chart's release on a real Kubernetes: `make e2e` runs it after the scenarios of `e2e`, on a cluster without the
//! product.
//!
//! A release's steps build on each other, so that each of the few tests here is one life and its steps are functions, by subject:
//! [`first`], [`outside`], [`pools`], [`policies`], [`change`], [`leaving`]. The tests run one after another, for a cluster has one
//! definition of `RunnerPool`. `harness` knows Helm, the cluster's and the control plane's interfaces, and no code of the product.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a helper of a test fails by panicking")]
#![allow(clippy::needless_pass_by_value, reason = "callers write json!({…}) in place")]

mod harness;

mod change;
mod first;
mod former;
mod leaving;
mod life;
mod outside;
mod policies;
mod pools;
mod refusals;
