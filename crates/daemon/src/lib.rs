//! What all of MiniTower's programs do alike.
//!
//! | module | what |
//! |---|---|
//! | [`signals`] | SIGTERM and SIGINT from the first instruction of `main` on, also as PID 1; stopping in two steps |
//! | [`logs`] | log lines on a standard error that may be unwritable |
//! | [`duration`] | durations as settings give them |
//! | [`backoff`] | pauses between attempts |
//! | [`errors`] | errors with their sources, in one line |
//! | [`files`] | as many open files as the system allows |
//! | [`memory`] | what the allocator keeps is given back |
//! | [`clock`] | a monotonic clock to decide by, and the wall clock |
//!
//! Nothing here knows what a program does.

pub mod backoff;
pub mod clock;
pub mod duration;
pub mod errors;
pub mod files;
pub mod logs;
pub mod memory;
pub mod signals;
