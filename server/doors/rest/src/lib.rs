//! MiniTower's HTTP interface.
//!
//! - [`routes`](table): the one table of routes, what each asks of its caller, and the router built from it
//! - `auth`: credentials; `extract`: bodies, ids and queries; `middleware`: what every request meets
//! - `v1`: the endpoints, one a file; `render`: domain types as they travel
//! - [`serve`]: the accept loop, its limits and its end
//!
//! Handlers parse, call the app and render. Rules, SQL and clocks live below, configuration and signals above.

mod auth;
mod error;
mod extract;
mod health;
mod metrics;
mod middleware;
mod render;
mod routes;
mod serve;
mod state;
#[cfg(test)]
mod tests;
mod v1;

pub use auth::Access;
pub use error::ApiError;
pub use metrics::HttpMetrics;
pub use routes::{Route, router, table};
pub use serve::{Ended, ServeLimits, serve};
pub use state::{CorsOrigin, HttpConfig, HttpState, InvalidOrigin, Limits, Subjects};
