//! The operator from outside, without a cluster: what it makes of a control plane's answers (`demand`), and what its definition says
//! (`schema`). What a real API server makes of both is in `tests/apiserver`.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a helper of a test fails by panicking")]

mod demand;
mod schema;
