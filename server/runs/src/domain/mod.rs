//! The rules of runs, pure: no I/O, no async, no SQL, no clock.
//!
//! Start with [`lease`]: the whole lease protocol is there, with [`claim`] for the poll that begins a lease. [`run`] and
//! [`attempt`] hold the two state machines that it moves, [`retry`] says what becomes of a lost run, [`turns`] whose
//! turn it is in one environment, and [`queues`] in all of them.
//!
//! Every function takes the time as an argument. What the server does with a decision (SQL, wake-ups, answers) lives beside this
//! module and adds no rule of its own. The model checker compiles these files by themselves (`proofs/rules`), on the vocabulary
//! alone.

pub mod active;
pub mod after;
pub mod app;
pub mod artifact;
pub mod attempt;
pub mod claim;
pub mod explain;
pub mod gates;
pub mod input;
pub mod labels;
pub mod lease;
pub mod log;
#[cfg(test)]
pub(crate) mod moves;
pub mod pools;
pub mod queues;
pub mod retention;
pub mod retry;
pub mod run;
pub mod runner;
pub mod turns;
