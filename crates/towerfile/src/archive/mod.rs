//! Archives from strangers: `.tar.gz` files that are inspected on arrival and unpacked before a run.
//!
//! Both go through the same `walk`, so that what was accepted once is accepted again:
//! `gunzip` (bytes, bounded) → `members` (headers and names) → `tree` (what the entries add up to) → `walk`.
//! Memory is bounded by [`Limits::entries`], time by [`Limits::total_bytes`], whatever the archive says.
//!
//! The headers are decoded by the `tar` crate, but not iterated by it: its iterator holds extension headers of any
//! size in memory, takes a missing end for the end, and does not look at what comes behind it.

mod error;
mod extensions;
mod gunzip;
mod inspect;
mod limits;
mod members;
mod tree;
mod unpack;
mod walk;

pub use error::ArchiveError;
pub use inspect::{Inspection, inspect};
pub use limits::Limits;
pub use unpack::{UnpackReport, unpack, unpack_into};
