//! What decides: which run a notification is about, how often a delivery is tried, and what a message says. No I/O, no clock.

pub mod delivery;
pub mod expectation;
pub mod filter;
pub mod message;
pub mod notification;
pub mod schedule;
