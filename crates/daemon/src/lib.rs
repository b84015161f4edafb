//! What all of MiniTower's programs do alike.
//!
//! | module | what |
//! |---|---|
//! | [`signals`] | SIGTERM and SIGINT from the first instruction of `main` on, also as PID 1 |
//! | [`logs`] | log lines on a standard error that may be unwritable |
//! | [`files`] | as many open files as the system allows |
//! | [`time`] | clocks, and doubling, jittered pauses between attempts |
//! | [`errors`] | an error with its causes, as one line for people |
//!
//! Nothing here knows what a program does.

pub mod errors;
pub mod files;
pub mod logs;
pub mod signals;
pub mod time;
