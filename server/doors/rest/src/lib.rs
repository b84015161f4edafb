//! MiniTower's HTTP interface.
//!
//! - [`table`]: the one table of routes, what each asks of its caller, and the router built from it
//! - `auth`: credentials; `strict`: nothing is accepted and ignored; `extract`: bodies, paths and queries; `middleware`: what every request meets
//! - `arriving`, `lasting`: bodies and answers that take long end with the credential that came with the request
//! - `events`: what subjects tell live, as streams of server-sent events
//! - `v1`, `health`: the endpoints, one file per resource; `render`: what several of them show
//! - `openapi`: the description of the API, and the page that shows it
//! - [`serve`]: the accept loop, its limits and its end
//!
//! Handlers parse, call a subject and render. Rules, SQL and clocks live below; configuration and signals above.

mod arriving;
mod auth;
mod error;
mod events;
mod extract;
mod health;
mod lasting;
mod metrics;
mod middleware;
mod openapi;
mod render;
mod routes;
mod serve;
mod state;
mod strict;
#[cfg(test)]
mod tests;
mod v1;

pub use auth::Access;
pub use error::ApiError;
pub use metrics::HttpMetrics;
pub use openapi::document;
pub use render::shown_run;
pub use routes::{Route, router, table, watching_router};
pub use serve::{Ended, InvalidNetwork, ServeLimits, TrustedProxies, serve};
pub use state::{CorsOrigin, HttpConfig, HttpState, InvalidOrigin, Limits, Subjects};
