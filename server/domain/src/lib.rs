//! The rules of MiniTower, pure: no I/O, no async, no SQL.
//!
//! Start with [`lease`]: the whole lease protocol is there, with [`claim`] for the poll that begins a lease. [`run`] and
//! [`attempt`] hold the two state machines that it moves, [`retry`] says what becomes of a lost run.
//!
//! Every function takes the time as an argument; only [`clock`] reads one. What the server does with a decision (SQL, wake-ups,
//! answers) lives in the crates above and adds no rule of its own.

pub mod app;
pub mod artifact;
pub mod attempt;
pub mod claim;
pub mod clock;
pub mod ids;
pub mod lease;
pub mod limits;
pub mod names;
pub mod retry;
pub mod run;
pub mod runner;
pub mod team;
