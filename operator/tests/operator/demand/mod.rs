//! What the operator makes of a control plane's answers: a real one in the same process, behind a proxy that makes trouble.

mod calls;
mod older;
mod real;
mod sharing;
mod silence;
mod support;
