//! What the operator makes of a control plane's answers, with a real HTTP server on a loopback port that answers as told.
#![allow(missing_docs, clippy::unwrap_used)]

mod calls;
mod real;
mod sharing;
mod silence;
mod support;
