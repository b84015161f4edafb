//! The `minitower` program against a real control plane.
#![allow(missing_docs, clippy::unwrap_used)]

mod again;
mod answers;
mod deploy;
mod dev;
mod errors;
mod kubectl;
mod logs;
mod notifications;
mod profiles;
mod runs;
mod sso;
mod support;
mod waiting;
