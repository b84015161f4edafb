//! What every handler has at hand.

use std::sync::Arc;

use minitower_app::App;

use crate::metrics::HttpMetrics;
pub use crate::middleware::cors::{CorsOrigin, InvalidOrigin};

/// What the HTTP interface is told by the program's configuration.
#[derive(Debug, Clone)]
pub struct HttpConfig {
    /// Origins that browsers may call from; empty: no CORS headers at all.
    pub cors_origins: Vec<CorsOrigin>,
    /// Largest JSON body and largest upload.
    pub limits: Limits,
    /// Commit the program was built from.
    pub commit: &'static str,
    /// Version of the SQLite library it runs on.
    pub sqlite_version: &'static str,
}

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
            cors_origins: Vec::new(),
            limits: Limits::default(),
            commit: "unknown",
            sqlite_version: "unknown",
        }
    }
}

/// The state behind every handler; a cheap clone.
#[derive(Clone)]
pub struct HttpState {
    app: App,
    inner: Arc<Inner>,
}

struct Inner {
    config: HttpConfig,
    metrics: HttpMetrics,
}

impl HttpState {
    /// Puts the state together.
    pub fn new(app: App, config: HttpConfig, metrics: HttpMetrics) -> Self {
        Self { app, inner: Arc::new(Inner { config, metrics }) }
    }

    pub(crate) fn app(&self) -> &App {
        &self.app
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
}
