//! What every handler has at hand.

use std::fmt;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use minitower_kernel::metrics::DatabaseMetrics;
use minitower_kernel::volumes::Volumes;
use minitower_kernel::{Store, StoreError};
use minitower_notifications::Notifications;
use minitower_runs::{Apps, Engine, Leases, Runners, Runs};
use minitower_teams::Teams;
use prometheus::Registry;
use prometheus::proto::MetricFamily;

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
    /// Whether the metrics have an address of their own ([`crate::watching_router`]), so that they are not served with the API.
    pub metrics_elsewhere: bool,
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
            metrics_elsewhere: false,
        }
    }
}

/// The subjects that the handlers call. A cheap clone.
#[derive(Debug, Clone)]
pub struct Subjects(Arc<Reached>);

#[derive(Debug)]
struct Reached {
    store: Arc<Store>,
    teams: Teams,
    apps: Apps,
    runs: Runs,
    leases: Leases,
    runners: Runners,
    engine: Engine,
    notifications: Notifications,
    registry: Registry,
    database: DatabaseMetrics,
    /// Held by a scrape: gauges are emptied before they are filled.
    scrape: Mutex<()>,
}

impl Subjects {
    /// Puts them together.
    pub fn new(
        store: Arc<Store>,
        teams: Teams,
        engine: &Engine,
        notifications: Notifications,
        registry: Registry,
        database: DatabaseMetrics,
    ) -> Self {
        Self(Arc::new(Reached {
            store,
            teams,
            apps: engine.apps(),
            runs: engine.runs(),
            leases: engine.leases(),
            runners: engine.runners(),
            engine: engine.clone(),
            notifications,
            registry,
            database,
            scrape: Mutex::default(),
        }))
    }

    /// Everything that is measured of the subjects, as of now.
    pub fn metrics(&self) -> Vec<MetricFamily> {
        let reached = &self.0;
        let _scrape = reached.scrape.lock().unwrap_or_else(PoisonError::into_inner);
        reached.engine.refresh_gauges();
        reached.database.refresh(&reached.store);
        reached.registry.gather()
    }
}

/// The state behind every handler; a cheap clone.
#[derive(Clone)]
pub struct HttpState(Arc<Inner>);

struct Inner {
    subjects: Subjects,
    config: HttpConfig,
    metrics: HttpMetrics,
    is_stopping: AtomicBool,
}

impl fmt::Debug for HttpState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("HttpState").field("config", &self.0.config).finish_non_exhaustive()
    }
}

impl HttpState {
    /// Puts the state together.
    pub fn new(subjects: Subjects, config: HttpConfig, metrics: HttpMetrics) -> Self {
        Self(Arc::new(Inner { subjects, config, metrics, is_stopping: AtomicBool::new(false) }))
    }

    /// Says from now on that the server is not ready, because it is about to stop.
    pub fn announce_stop(&self) {
        self.0.is_stopping.store(true, Ordering::Relaxed);
    }

    pub(crate) fn is_stopping(&self) -> bool {
        self.0.is_stopping.load(Ordering::Relaxed)
    }

    pub(crate) fn teams(&self) -> &Teams {
        &self.0.subjects.0.teams
    }

    pub(crate) fn apps(&self) -> &Apps {
        &self.0.subjects.0.apps
    }

    pub(crate) fn notifications(&self) -> &Notifications {
        &self.0.subjects.0.notifications
    }

    pub(crate) fn runs(&self) -> &Runs {
        &self.0.subjects.0.runs
    }

    pub(crate) fn leases(&self) -> &Leases {
        &self.0.subjects.0.leases
    }

    pub(crate) fn runners(&self) -> &Runners {
        &self.0.subjects.0.runners
    }

    /// What is known of the volumes.
    pub(crate) fn volumes(&self) -> &Volumes {
        self.0.subjects.0.store.volumes()
    }

    /// Answers whether the database answers.
    pub(crate) async fn ping(&self) -> Result<(), StoreError> {
        self.0.subjects.0.store.ping().await
    }

    /// Everything that `GET /metrics` says of the subjects, as of now.
    pub(crate) fn subject_metrics(&self) -> Vec<MetricFamily> {
        self.0.subjects.metrics()
    }

    pub(crate) fn config(&self) -> &HttpConfig {
        &self.0.config
    }

    pub(crate) fn limits(&self) -> Limits {
        self.0.config.limits
    }

    pub(crate) fn metrics(&self) -> &HttpMetrics {
        &self.0.metrics
    }
}
