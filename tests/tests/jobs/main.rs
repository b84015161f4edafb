//! Real jobs on a real runner under a real control plane.
#![allow(clippy::unwrap_used, reason = "a helper of a test fails by panicking")]

mod cancel;
mod confinement;
mod environment;
mod faults;
mod logs;
mod nasty;
mod ordinary;
mod shutdown;
