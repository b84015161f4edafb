//! The product on a real Kubernetes: runner pods made by the operator run real Python jobs. `make e2e` runs these.
//!
//! One control plane and one operator serve all scenarios; each has a namespace, an environment and pools of its own, so that those of
//! `together` run beside each other. `alone` changes what all share, and `speed` wants a quiet machine: those run one after another. What
//! the scenarios have in common is in `harness`; it knows the cluster's and the control plane's interfaces, and no code of the product.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a helper of a test fails by panicking")]
#![allow(clippy::needless_pass_by_value, reason = "callers write json!({…}) in place")]

mod harness;

mod alone;
mod speed;
mod together;
