//! What the operator measures about itself, and the probes that are answered beside it.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use axum::Router;
use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse as _, Response};
use axum::routing::get;
use minitower_daemon::clock::boottime;
use prometheus::{
    Encoder as _, GaugeVec, Histogram, HistogramOpts, IntCounter, IntCounterVec, IntGauge, IntGaugeVec, Opts,
    Registry, TextEncoder,
};
use tokio::net::TcpListener;

use crate::crd::{ConditionType, RunnerPoolStatus};

/// Buckets of a reconcile's duration, in seconds: most take milliseconds; one that waits for a silent control plane takes five seconds.
const BUCKETS: [f64; 10] = [0.001, 0.003, 0.01, 0.03, 0.1, 0.3, 1.0, 3.0, 10.0, 30.0];

/// A controller that has not completed a loop for this long hangs: demand is read at least every 30 s, and each step of a reconcile has a
/// deadline of seconds.
const HANGS_AFTER: Duration = Duration::from_secs(120);

/// Values of the label `bound`.
const BOUNDS: [&str; 2] = ["maxRunners", "minRunners"];
/// Values of the label `direction`.
const DIRECTIONS: [&str; 2] = ["up", "down"];

/// What one reconcile did to a pool.
#[derive(Debug, Clone, Copy)]
pub struct Applied<'a> {
    /// The pool's namespace.
    pub namespace: &'a str,
    /// The pool's name.
    pub pool: &'a str,
    /// The environment that the pool serves.
    pub environment: &'a str,
    /// How many runners there should be.
    pub desired: u32,
    /// `maxRunners` keeps the pool from the size that the demand asks for.
    pub held_by_max: bool,
    /// `minRunners` keeps the pool from the size that the demand asks for.
    pub held_by_min: bool,
    /// Pods added.
    pub grown: u32,
    /// Pods taken away.
    pub shrunk: u32,
    /// Calls to the API server that changed something.
    pub writes: u32,
    /// The age of the last good answer of the control plane.
    pub demand_age: Option<Duration>,
}

/// The operator's metrics. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Metrics {
    registry: Registry,
    reconciles: IntCounterVec,
    duration: Histogram,
    desired: IntGaugeVec,
    ready: IntGaugeVec,
    conditions: IntGaugeVec,
    limited: IntGaugeVec,
    info: IntGaugeVec,
    /// The environment that each pool last served, by namespace and name.
    environments: Arc<Mutex<HashMap<(String, String), String>>>,
    demand_age: GaugeVec,
    scaled: IntCounterVec,
    writes: IntCounterVec,
    leader: IntGauge,
    status_writes: IntCounter,
    /// When a reconcile last ended, by `boottime`, in milliseconds.
    last: Arc<AtomicU64>,
}

impl Metrics {
    /// Registers all metrics, at zero.
    pub fn new() -> Result<Self, prometheus::Error> {
        let registry = Registry::new();
        let counters = |name: &str, help: &str, labels: &[&str]| {
            let metric = IntCounterVec::new(Opts::new(name, help), labels)?;
            registry.register(Box::new(metric.clone()))?;
            Ok::<_, prometheus::Error>(metric)
        };
        let reconciles = counters(
            "minitower_operator_reconcile_total",
            "Reconciles of a pool, by how they ended: ok, or the stage that failed",
            &["result"],
        )?;
        let scaled = counters(
            "minitower_operator_scale_total",
            "Pods added and taken away",
            &["namespace", "pool", "direction"],
        )?;
        let writes = counters(
            "minitower_operator_writes_total",
            "Calls to the API server that change something, without leader election and Events",
            &["kind"],
        )?;
        let duration = Histogram::with_opts(
            HistogramOpts::new(
                "minitower_operator_reconcile_duration_seconds",
                "How long a reconcile of a pool took",
            )
            .buckets(BUCKETS.to_vec()),
        )?;
        registry.register(Box::new(duration.clone()))?;
        let gauges = |name: &str, help: &str, labels: &[&str]| {
            let metric = IntGaugeVec::new(Opts::new(name, help), labels)?;
            registry.register(Box::new(metric.clone()))?;
            Ok::<_, prometheus::Error>(metric)
        };
        let labels = ["namespace", "pool"];
        let desired =
            gauges("minitower_operator_desired_runners", "How many runners there should be", &labels)?;
        let ready = gauges("minitower_operator_ready_runners", "How many runners are online", &labels)?;
        let conditions = gauges(
            "minitower_operator_pool_condition",
            "Whether a condition of the pool's status is True",
            &["namespace", "pool", "condition"],
        )?;
        let limited = gauges(
            "minitower_operator_scaling_limited",
            "Whether this bound keeps the pool from the size that the demand asks for",
            &["namespace", "pool", "bound"],
        )?;
        let info = gauges(
            "minitower_operator_pool_info",
            "Always 1: which environment the pool serves",
            &["namespace", "pool", "environment"],
        )?;
        let demand_age = GaugeVec::new(
            Opts::new(
                "minitower_operator_demand_age_seconds",
                "Age of the last good answer of the control plane",
            ),
            &labels,
        )?;
        registry.register(Box::new(demand_age.clone()))?;
        let leader = IntGauge::new("minitower_operator_leader", "Whether this replica leads")?;
        registry.register(Box::new(leader.clone()))?;
        let status_writes = writes.with_label_values(&["status"]);
        Ok(Self {
            registry,
            reconciles,
            duration,
            desired,
            ready,
            conditions,
            limited,
            info,
            environments: Arc::default(),
            demand_age,
            scaled,
            writes,
            leader,
            status_writes,
            last: Arc::new(AtomicU64::new(0)),
        })
    }

    /// A reconcile of a pool has ended. `failed` is the stage that failed, if one did.
    pub fn reconciled(&self, took: Duration, failed: Option<&str>) {
        self.reconciles.with_label_values(&[failed.unwrap_or("ok")]).inc();
        self.duration.observe(took.as_secs_f64());
        self.alive();
    }

    /// The controller has completed a loop, whatever the outcome.
    pub fn alive(&self) {
        self.last.store(u64::try_from(boottime().as_millis()).unwrap_or(u64::MAX), Ordering::Release);
    }

    /// Time since the controller last completed a loop.
    pub fn idle_for(&self) -> Duration {
        boottime().saturating_sub(Duration::from_millis(self.last.load(Ordering::Acquire)))
    }

    /// A plan was carried out.
    pub fn applied(&self, applied: &Applied<'_>) {
        let labels = [applied.namespace, applied.pool];
        self.desired.with_label_values(&labels).set(applied.desired.into());
        for (bound, held) in BOUNDS.into_iter().zip([applied.held_by_max, applied.held_by_min]) {
            self.limited.with_label_values(&[labels[0], labels[1], bound]).set(held.into());
        }
        self.serves(labels, Some(applied.environment));
        if let Some(age) = applied.demand_age {
            self.demand_age.with_label_values(&labels).set(age.as_secs_f64());
        }
        for (direction, pods) in DIRECTIONS.into_iter().zip([applied.grown, applied.shrunk]) {
            if pods > 0 {
                self.scaled.with_label_values(&[labels[0], labels[1], direction]).inc_by(pods.into());
            }
        }
        self.writes.with_label_values(&["plan"]).inc_by(applied.writes.into());
    }

    /// The status of a pool, whether or not it had to be written again.
    pub fn told(&self, namespace: &str, pool: &str, status: &RunnerPoolStatus) {
        self.ready.with_label_values(&[namespace, pool]).set(status.ready_runners.into());
        for name in ConditionType::ALL.map(ConditionType::as_str) {
            let labels = [namespace, pool, name];
            match status.conditions.iter().find(|condition| condition.type_ == name) {
                Some(said) => self.conditions.with_label_values(&labels).set((said.status == "True").into()),
                // Left by a former pool of that name.
                None => drop(self.conditions.remove_label_values(&labels)),
            }
        }
    }

    /// The environment that a pool serves from now on, if any.
    fn serves(&self, [namespace, pool]: [&str; 2], environment: Option<&str>) {
        let key = (namespace.to_owned(), pool.to_owned());
        let mut environments = self.environments.lock().unwrap_or_else(PoisonError::into_inner);
        let before = match environment {
            Some(now) => environments.insert(key, now.to_owned()),
            None => environments.remove(&key),
        };
        if let Some(before) = before.filter(|before| Some(before.as_str()) != environment) {
            let _ = self.info.remove_label_values(&[namespace, pool, &before]);
        }
        if let Some(now) = environment {
            self.info.with_label_values(&[namespace, pool, now]).set(1);
        }
    }

    /// A status was written.
    pub fn status_written(&self) {
        self.status_writes.inc();
    }

    /// A pool no longer exists.
    pub fn forget(&self, namespace: &str, pool: &str) {
        // A series that was never counted cannot be removed, and need not be.
        let _ = self.desired.remove_label_values(&[namespace, pool]);
        let _ = self.ready.remove_label_values(&[namespace, pool]);
        for condition in ConditionType::ALL {
            let _ = self.conditions.remove_label_values(&[namespace, pool, condition.as_str()]);
        }
        for bound in BOUNDS {
            let _ = self.limited.remove_label_values(&[namespace, pool, bound]);
        }
        self.serves([namespace, pool], None);
        let _ = self.demand_age.remove_label_values(&[namespace, pool]);
        for direction in DIRECTIONS {
            let _ = self.scaled.remove_label_values(&[namespace, pool, direction]);
        }
    }

    /// Whether this replica leads.
    pub fn leads(&self, leads: bool) {
        self.leader.set(i64::from(leads));
    }

    /// All metrics in Prometheus' text format.
    pub fn render(&self) -> Result<String, prometheus::Error> {
        let mut text = Vec::new();
        TextEncoder::new().encode(&self.registry.gather(), &mut text)?;
        String::from_utf8(text).map_err(|error| prometheus::Error::Msg(error.to_string()))
    }
}

/// Answers `/healthz`, `/readyz` and `/metrics` until it is dropped.
pub async fn serve(listener: TcpListener, metrics: Metrics) -> std::io::Result<()> {
    let router = Router::new()
        .route("/healthz", get(healthz))
        .route("/readyz", get(|| async { "ok\n" }))
        .route("/metrics", get(render))
        .with_state(metrics);
    axum::serve(listener, router).await
}

async fn healthz(State(metrics): State<Metrics>) -> Response {
    let idle = metrics.idle_for();
    if idle > HANGS_AFTER {
        let text = format!("the controller completed its last loop {} s ago\n", idle.as_secs());
        return (StatusCode::SERVICE_UNAVAILABLE, text).into_response();
    }
    format!("ok, the last loop was completed {:.1} s ago\n", idle.as_secs_f64()).into_response()
}

async fn render(State(metrics): State<Metrics>) -> Response {
    match metrics.render() {
        Ok(text) => ([(header::CONTENT_TYPE, "text/plain; version=0.0.4")], text).into_response(),
        Err(error) => (StatusCode::INTERNAL_SERVER_ERROR, format!("{error}\n")).into_response(),
    }
}
