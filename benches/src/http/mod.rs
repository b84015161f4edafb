//! HTTP/1.1 over kept connections, as little of it as the load needs: requests from prepared bytes, answers with a length.

mod client;
mod connection;
mod engine;
pub mod request;
pub mod scan;

pub use client::{Client, Reply};
pub use connection::Answer;
pub use engine::{Engine, Key};
