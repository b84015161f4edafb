//! The rules of teams, pure: no I/O, no async, no SQL, no clock.

pub mod audit;
pub mod limits;
pub mod pool;
pub mod secret;
pub mod team;
