//! The command line against a real control plane: what a newcomer types, and what scripts rely on.
#![allow(clippy::unwrap_used, reason = "a helper of a test fails by panicking")]

mod commands;
mod dev;
mod kubectl;
mod quickstart;
mod shells;
