//! What the operator counts about itself.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use prometheus::{
    Encoder as _, GaugeVec, Histogram, HistogramOpts, IntCounter, IntCounterVec, IntGauge, IntGaugeVec, Opts,
    Registry, TextEncoder,
};

use crate::clock::boottime;
use crate::crd::RunnerPoolStatus;
use crate::pool_controller::apply::Done;
use crate::pool_controller::plan::{Limit, Plan};
use crate::pool_controller::pool::Pool;

/// Buckets of a reconcile's length, in seconds: most take milliseconds, one that waits for a silent control plane five seconds.
const BUCKETS: [f64; 10] = [0.001, 0.003, 0.01, 0.03, 0.1, 0.3, 1.0, 3.0, 10.0, 30.0];

/// The conditions that a pool's status can have: by these the series of a pool that is no more are found.
const CONDITIONS: [&str; 6] =
    ["Ready", "Progressing", "DemandAvailable", "ScalingLimited", "Paused", "Degraded"];

/// The operator's metrics; cheap to clone.
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
    /// The environment that each pool was last seen to serve, by namespace and name.
    environments: Arc<Mutex<HashMap<(String, String), String>>>,
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
        for (bound, held) in [
            ("maxRunners", matches!(plan.limit, Some(Limit::Max { .. }))),
            ("minRunners", matches!(plan.limit, Some(Limit::Min { .. }))),
        ] {
            self.limited.with_label_values(&[labels[0], labels[1], bound]).set(held.into());
        }
        self.serves(labels, Some(&pool.spec.environment));
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

    /// What people are told of a pool, whether or not it had to be written anew.
    pub fn told(&self, namespace: &str, pool: &str, status: &RunnerPoolStatus) {
        self.ready.with_label_values(&[namespace, pool]).set(status.ready_runners.into());
        for name in CONDITIONS {
            let labels = [namespace, pool, name];
            match status.conditions.iter().find(|condition| condition.type_ == name) {
                Some(said) => self.conditions.with_label_values(&labels).set((said.status == "True").into()),
                // Of a pool of that name that was there before.
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

    /// A pool is no more.
    pub fn forget(&self, namespace: &str, pool: &str) {
        // What was never counted is not there to be removed.
        let _ = self.desired.remove_label_values(&[namespace, pool]);
        let _ = self.ready.remove_label_values(&[namespace, pool]);
        for condition in CONDITIONS {
            let _ = self.conditions.remove_label_values(&[namespace, pool, condition]);
        }
        for bound in ["maxRunners", "minRunners"] {
            let _ = self.limited.remove_label_values(&[namespace, pool, bound]);
        }
        self.serves([namespace, pool], None);
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
