//! The `minitower` program against a small server on a loopback port.
#![allow(missing_docs, clippy::unwrap_used)]

mod answers;
mod deploy;
mod dev;
mod errors;
mod kubectl;
mod profiles;
mod runs;
mod support;
