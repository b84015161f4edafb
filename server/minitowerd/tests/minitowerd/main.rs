//! The server as a program of its own, and as a part of another.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a helper of a test fails by panicking")]

mod process;
mod server;
mod volumes;
