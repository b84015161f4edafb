//! Every word of MiniTower once: what the programs call things, and the JSON that travels between them.
//!
//! | module | what |
//! |---|---|
//! | [`ids`] | an integer id has the type of the thing it names |
//! | [`json`] | what is wrong with a text that should be JSON |
//! | [`names`] | slugs, and the names of environments and runners, checked |
//! | [`limits`] | how much a team may use, and a run may leave behind |
//! | [`statuses`] | where runs, attempts and results stand; roles |
//! | [`time`] | a moment, in milliseconds |
//! | [`wire`] | the JSON types of the API |
//!
//! Invariants: this crate depends on no other crate of ours, reads no clock, and does no I/O. It decides nothing about runs,
//! teams or leases; it only says which values exist.

pub mod ids;
pub mod json;
pub mod limits;
pub mod names;
pub mod statuses;
pub mod time;
pub mod wire;
