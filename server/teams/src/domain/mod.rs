//! The rules of teams, pure: no I/O, no async, no SQL, no clock.

pub(crate) mod audit;
pub(crate) mod id_token;
pub mod limits;
pub mod people;
pub mod pool;
pub mod secret;
pub mod team;
