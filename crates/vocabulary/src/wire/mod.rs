//! The wire contract: every type that travels between MiniTower's programs, and nothing else.
//!
//! Field names, order and presence are read by programs we do not own. A field may be added when it is
//! optional; none may be renamed or removed. Unknown fields are ignored by both sides. Times are RFC 3339 in
//! UTC, ids are integers.
//!
//! No rules live here: what a value may be is checked by the server.

pub mod admin;
pub mod apps;
pub mod auth;
pub mod demand;
pub mod environments;
pub mod error;
pub mod headers;
pub mod health;
pub mod limits;
pub mod runner;
pub mod runs;

/// A moment, written as RFC 3339 in UTC.
pub use jiff::Timestamp;
