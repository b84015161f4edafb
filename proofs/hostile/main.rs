//! What strangers may send: each is answered soon by a clear error, costs little memory, leaves nothing on disk, and harms nobody else.
//!
//! One module for each sort of thing that is sent; `bed` has the server and measures it. What an archive or a Towerfile is refused for in
//! detail is tested where they are read, in their crate.
#![allow(clippy::unwrap_used, reason = "a helper of a test fails by panicking")]

mod archives;
mod bed;
mod headers;
mod json;
mod multipart;
mod schemas;
mod strangers;
mod towerfiles;
