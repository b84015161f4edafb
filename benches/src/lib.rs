//! The load generator and what it measures: clients, runners played by hand, and the figures of the server they load.
//!
//! It shares the machine with the server, so it is lean: one thread, `epoll`, requests put together from prepared bytes, answers scanned for
//! the few fields that matter. It stands outside: it uses no crate of the product and speaks to it over HTTP alone.
//! No rule of the product lives here, and no assertion about it but that what was counted here was counted there.

pub mod error;
pub mod http;
pub mod load;
pub mod place;
pub mod process;
pub mod report;
pub mod server;
pub mod slow_disk;
pub mod stats;

pub use error::BenchError;
pub use place::Place;
pub use server::Server;
