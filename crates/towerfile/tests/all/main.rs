//! Towerfiles and archives, as callers of the crate see them.
//!
//! `support` makes archives by hand and compares folders; each other file holds the tests of one subject. The functions of
//! the fuzz targets run here on the inputs that are kept for them.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test ends at its first surprise")]
#![allow(unreachable_pub, reason = "the fuzz targets are programs of their own elsewhere")]

#[path = "../../../../proofs/fuzz/src/archive.rs"]
mod fuzz_archive;
#[path = "../../../../proofs/fuzz/src/towerfile.rs"]
mod fuzz_towerfile;
mod good_archives;
mod hostile_archives;
mod kept;
mod packing;
mod parsing;
mod random_archives;
mod refusing;
mod selecting;
mod starting;
mod support;
