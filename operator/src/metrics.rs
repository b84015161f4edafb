//! What the operator counts about itself.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use prometheus::{
    Encoder as _, GaugeVec, Histogram, HistogramOpts, IntCounter, IntCounterVec, IntGauge, IntGaugeVec, Opts,
    Registry, TextEncoder,
};

use crate::clock::boottime;
use crate::pool_controller::apply::Done;
use crate::pool_controller::plan::Plan;
use crate::pool_controller::pool::Pool;

/// Buckets of a reconcile's length, in seconds: most take milliseconds, one that waits for a silent control plane five seconds.
const BUCKETS: [f64; 10] = [0.001, 0.003, 0.01, 0.03, 0.1, 0.3, 1.0, 3.0, 10.0, 30.0];

/// The operator's metrics; cheap to clone.
#[derive(Clone, Debug)]
pub struct Metrics {
    registry: Registry,
    reconciles: IntCounterVec,
    duration: Histogram,
    desired: IntGaugeVec,
    demand_age: GaugeVec,
    scaled: IntCounterVec,
    writes: IntCounterVec,
    leader: IntGauge,
    status_writes: IntCounter,
    /// When a reconcile ended last, by `boottime`, in milliseconds.
    last: Arc<AtomicU64>,
}

impl Metrics {
    /// All at zero.
    pub fn new() -> Result<Self, prometheus::Error> {
        let registry = Registry::new();
        let counters = |name: &str, help: &str, labels: &[&str]| {
            let metric = IntCounterVec::new(Opts::new(name, help), labels)?;
            registry.register(Box::new(metric.clone()))?;
            Ok::<_, prometheus::Error>(metric)
        };
        let reconciles = counters(
            "minitower_operator_reconcile_total",
            "Looks at a pool, by how they ended: ok, or the stage that failed",
            &["result"],
        )?;
        let scaled = counters(
            "minitower_operator_scale_total",
            "Pods added and taken away",
            &["namespace", "pool", "direction"],
        )?;
        let writes = counters(
            "minitower_operator_writes_total",
            "Calls to the API server that change something, leader election and Events apart",
            &["kind"],
        )?;
        let duration = Histogram::with_opts(
            HistogramOpts::new(
                "minitower_operator_reconcile_duration_seconds",
                "How long a look at a pool took",
            )
            .buckets(BUCKETS.to_vec()),
        )?;
        registry.register(Box::new(duration.clone()))?;
        let labels = ["namespace", "pool"];
        let desired = IntGaugeVec::new(
            Opts::new("minitower_operator_desired_runners", "How many runners there should be"),
            &labels,
        )?;
        registry.register(Box::new(desired.clone()))?;
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
            demand_age,
            scaled,
            writes,
            leader,
            status_writes,
            last: Arc::new(AtomicU64::new(0)),
        })
    }

    /// A look at a pool has ended; `failed`: the stage that did.
    pub fn reconciled(&self, took: Duration, failed: Option<&str>) {
        self.reconciles.with_label_values(&[failed.unwrap_or("ok")]).inc();
        self.duration.observe(took.as_secs_f64());
        self.alive();
    }

    /// The controller has come round, whatever came of it.
    pub fn alive(&self) {
        self.last.store(u64::try_from(boottime().as_millis()).unwrap_or(u64::MAX), Ordering::Release);
    }

    /// Time since the controller came round last.
    pub fn idle_for(&self) -> Duration {
        boottime().saturating_sub(Duration::from_millis(self.last.load(Ordering::Acquire)))
    }

    /// A plan was carried out.
    pub fn applied(&self, pool: &Pool, plan: &Plan, done: &Done, demand_age: Option<Duration>) {
        let labels = [pool.namespace.as_str(), pool.name.as_str()];
        self.desired.with_label_values(&labels).set(plan.target.into());
        if let Some(age) = demand_age {
            self.demand_age.with_label_values(&labels).set(age.as_secs_f64());
        }
        for (direction, pods) in [("up", done.grown), ("down", done.shrunk)] {
            if pods > 0 {
                self.scaled.with_label_values(&[labels[0], labels[1], direction]).inc_by(pods.into());
            }
        }
        self.writes.with_label_values(&["plan"]).inc_by(done.writes.into());
    }

    /// A status was written.
    pub fn status_written(&self) {
        self.status_writes.inc();
    }

    /// A pool is no more.
    pub fn forget(&self, namespace: &str, pool: &str) {
        // What was never counted is not there to be removed.
        let _ = self.desired.remove_label_values(&[namespace, pool]);
        let _ = self.demand_age.remove_label_values(&[namespace, pool]);
        for direction in ["up", "down"] {
            let _ = self.scaled.remove_label_values(&[namespace, pool, direction]);
        }
    }

    /// Whether this replica leads.
    pub fn leads(&self, leads: bool) {
        self.leader.set(i64::from(leads));
    }

    /// Everything in Prometheus' text format.
    pub fn render(&self) -> Result<String, prometheus::Error> {
        let mut text = Vec::new();
        TextEncoder::new().encode(&self.registry.gather(), &mut text)?;
        String::from_utf8(text).map_err(|error| prometheus::Error::Msg(error.to_string()))
    }
}
