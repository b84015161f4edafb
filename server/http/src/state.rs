//! What every handler has at hand.

use std::sync::Arc;
use std::time::Duration;

use tokio_util::sync::CancellationToken;

use crate::auth::Secret;
use crate::metrics::HttpMetrics;

/// What the HTTP interface is told by the program's configuration.
#[derive(Debug, Clone)]
pub struct HttpConfig {
    /// Opens the bootstrap route; none: the route answers 404.
    pub bootstrap_token: Option<Secret>,
    /// Opens `/admin` across teams.
    pub operator_token: Option<Secret>,
    /// Origins that browsers may call from; empty: no CORS headers at all.
    pub cors_origins: Vec<CorsOrigin>,
    /// Largest JSON body and largest upload.
    pub limits: Limits,
    /// Commit the program was built from.
    pub commit: &'static str,
}

pub use crate::middleware::cors::{CorsOrigin, InvalidOrigin};

/// Limits on what a request may carry.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// Bytes of a JSON body.
    pub request_body: u64,
    /// Bytes of an uploaded artifact.
    pub artifact: u64,
}

impl Default for Limits {
    fn default() -> Self {
        Self { request_body: 10 * 1024 * 1024, artifact: 100 * 1024 * 1024 }
    }
}

impl Default for HttpConfig {
    fn default() -> Self {
        Self {
            bootstrap_token: None,
            operator_token: None,
            cors_origins: Vec::new(),
            limits: Limits::default(),
            commit: "unknown",
        }
    }
}

/// The state behind every handler; a cheap clone.
#[derive(Clone)]
pub struct HttpState {
    inner: Arc<Inner>,
}

struct Inner {
    config: HttpConfig,
    metrics: HttpMetrics,
    stopping: CancellationToken,
}

/// How long `GET /ready` waits for the database.
pub(crate) const READY_DEADLINE: Duration = Duration::from_secs(2);

impl HttpState {
    /// Puts the state together. Waiting polls are answered when `stopping` is cancelled.
    pub fn new(config: HttpConfig, metrics: HttpMetrics, stopping: CancellationToken) -> Self {
        Self { inner: Arc::new(Inner { config, metrics, stopping }) }
    }

    pub(crate) fn config(&self) -> &HttpConfig {
        &self.inner.config
    }

    pub(crate) fn limits(&self) -> Limits {
        self.inner.config.limits
    }

    pub(crate) fn metrics(&self) -> &HttpMetrics {
        &self.inner.metrics
    }

    pub(crate) fn stopping(&self) -> &CancellationToken {
        &self.inner.stopping
    }
}
