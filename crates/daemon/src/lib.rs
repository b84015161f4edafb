//! What all of MiniTower's programs do alike.
//!
//! | module | what |
//! |---|---|
//! | [`signals`] | SIGTERM and SIGINT from the first instruction of `main` on, also as PID 1 |
//! | [`logs`] | log lines on a standard error that may be unwritable |
//! | [`files`] | as many open files as the system allows |
//!
//! Nothing here knows what a program does.

pub mod files;
pub mod logs;
pub mod signals;
