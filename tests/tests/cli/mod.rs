//! The command line against a real control plane: what a newcomer types, and what scripts rely on.

mod commands;
mod dev;
mod kubectl;
mod quickstart;
mod secrets;
mod shells;
mod sso;
