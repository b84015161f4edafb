//! The rules of runs, compiled by themselves.
//!
//! These are the files of `server/runs/src/domain`. That they compile here, on the vocabulary alone, proves that they do no I/O; the
//! model checker walks through every interleaving of them, and mutants of them are cheap to build.

#[path = "../../../server/runs/src/domain/mod.rs"]
pub mod domain;
