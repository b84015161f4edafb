//! The wire contract: every type that travels between MiniTower's programs, and nothing else.
//!
//! Field names, order and presence are read by programs we do not own. A field may be added when it is
//! optional; none may be renamed or removed. Clients ignore unknown fields of answers. Times are
//! RFC 3339 in UTC with exactly three decimals, ids are integers.
//!
//! No rules live here: what a value may be is checked by the server.

pub mod admin;
pub mod apps;
pub mod audit;
pub mod auth;
pub mod demand;
pub mod environments;
pub mod error;
pub mod headers;
pub mod health;
pub mod limits;
pub mod live;
pub mod many_runs;
pub mod notifications;
pub mod pools;
pub mod retention;
pub mod runner;
pub mod runs;
pub mod secrets;

pub mod sign_in;
mod time;
mod unique;

pub use time::Timestamp;
