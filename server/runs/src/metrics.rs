//! The domain's metrics. Names and labels are fixed: dashboards and the operator read them.

use std::time::Duration;

use crate::series::Series;
use crate::store::events::RunMoved;
use minitower_vocabulary::statuses::RunStatus;
use prometheus::{
    HistogramOpts, HistogramVec, IntCounter, IntCounterVec, IntGauge, IntGaugeVec, Opts, Registry,
};

/// Seconds, from a dispatch on an idle machine to a run of hours.
const BUCKETS: [f64; 16] =
    [0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 300.0, 1800.0, 7200.0];

/// What is in the registry.
#[derive(Debug)]
pub(crate) struct Metrics {
    runs_created: IntCounterVec,
    runs_completed: IntCounterVec,
    runs_retried: IntCounterVec,
    runs_leased: IntCounterVec,
    runners_registered: IntCounterVec,
    queue_wait: HistogramVec,
    execution: HistogramVec,
    total: HistogramVec,
    pub(crate) runs_pending: IntGaugeVec,
    pub(crate) runs_blocked: IntGaugeVec,
    pub(crate) runs_active: IntGaugeVec,
    pub(crate) runners_online: IntGaugeVec,
    pub(crate) runners_busy: IntGaugeVec,
    /// 1: the object store did what was asked of it last.
    pub(crate) objects_up: IntGauge,
    pub(crate) objects_removed: IntCounter,
    pub(crate) objects_missing: IntGauge,
    pub(crate) runs_pruned: IntCounter,
    pub(crate) log_segments: IntGauge,
    pub(crate) log_segment_bytes: IntGauge,
    pub(crate) series: Series,
    slugs: minitower_teams::Memory,
}

impl Metrics {
    pub(crate) fn new(
        registry: &Registry,
        slugs: minitower_teams::Memory,
    ) -> Result<Self, prometheus::Error> {
        let counter = |name: &str, help: &str, labels: &[&str]| {
            let counter = IntCounterVec::new(Opts::new(name, help), labels)?;
            registry.register(Box::new(counter.clone()))?;
            Ok::<_, prometheus::Error>(counter)
        };
        let gauge = |name: &str, help: &str, labels: &[&str]| {
            let gauge = IntGaugeVec::new(Opts::new(name, help), labels)?;
            registry.register(Box::new(gauge.clone()))?;
            Ok::<_, prometheus::Error>(gauge)
        };
        let plain = |name: &str, help: &str| {
            let gauge = IntGauge::new(name, help)?;
            registry.register(Box::new(gauge.clone()))?;
            Ok::<_, prometheus::Error>(gauge)
        };
        let runs_pruned =
            IntCounter::new("minitower_db_runs_pruned_total", "Runs removed because they were old")?;
        registry.register(Box::new(runs_pruned.clone()))?;
        let objects_removed =
            IntCounter::new("minitower_objects_removed_total", "Objects removed because nothing named them")?;
        registry.register(Box::new(objects_removed.clone()))?;
        let seconds = |name: &str, help: &str, labels: &[&str]| {
            let histogram =
                HistogramVec::new(HistogramOpts::new(name, help).buckets(BUCKETS.to_vec()), labels)?;
            registry.register(Box::new(histogram.clone()))?;
            Ok::<_, prometheus::Error>(histogram)
        };
        Ok(Self {
            objects_up: plain(
                "minitower_objects_up",
                "Whether the object store did what was asked of it last: 1, or 0",
            )?,
            objects_removed,
            objects_missing: plain(
                "minitower_objects_missing",
                "Objects that versions or artifacts name and the store does not have",
            )?,
            runs_pruned,
            log_segments: plain(
                "minitower_log_segments",
                "Segments that logs of ended runs are packed into",
            )?,
            log_segment_bytes: plain("minitower_log_segment_bytes", "Bytes of these segments")?,
            runs_created: counter("minitower_runs_created_total", "Runs created", &["team", "app"])?,
            runs_completed: counter(
                "minitower_runs_completed_total",
                "Runs that reached a terminal state",
                &["team", "app", "status"],
            )?,
            runs_retried: counter(
                "minitower_runs_retried_total",
                "Runs queued again after a loss or a failure",
                &["team", "app"],
            )?,
            runs_leased: counter("minitower_runs_leased_total", "Runs leased to runners", &["environment"])?,
            runners_registered: counter(
                "minitower_runners_registered_total",
                "Runner registrations",
                &["environment"],
            )?,
            queue_wait: seconds(
                "minitower_run_queue_wait_seconds",
                "From queued to started",
                &["team", "app"],
            )?,
            execution: seconds(
                "minitower_run_execution_seconds",
                "From started to ended",
                &["team", "app", "status"],
            )?,
            total: seconds(
                "minitower_run_total_seconds",
                "From created to ended",
                &["team", "app", "status"],
            )?,
            runs_pending: gauge(
                "minitower_runs_pending",
                "Runs queued and ready: the scaling signal",
                &["team", "app", "environment"],
            )?,
            runs_blocked: gauge(
                "minitower_runs_blocked",
                "Queued runs that may not be leased yet",
                &["team", "app", "environment", "reason"],
            )?,
            runs_active: gauge(
                "minitower_runs_active",
                "Runs that a runner holds",
                &["team", "app", "environment"],
            )?,
            runners_online: gauge("minitower_runners_online", "Runners heard of lately", &["environment"])?,
            runners_busy: gauge("minitower_runners_busy", "Runners that hold a run", &["environment"])?,
            series: Series::default(),
            slugs,
        })
    }

    /// A runner registered, new or again.
    pub(crate) fn registered(&self, environment: &str) {
        self.runners_registered.with_label_values(&[environment]).inc();
    }

    /// A run was made or moved.
    pub(crate) fn moved(&self, moved: &RunMoved) {
        let key = &moved.key;
        let slug = self.slugs.slug(key.team_id);
        let names = (slug.as_deref().unwrap_or_default(), moved.names.app.as_str());
        let [team, app] = self.series.of_count((key.team_id, key.app_id), names);
        let after = &moved.after;
        let Some(before) = &moved.before else {
            self.runs_created.with_label_values(&[team, app]).inc();
            return;
        };
        if after.retries.used > before.retries.used {
            self.runs_retried.with_label_values(&[team, app]).inc();
        }
        if before.status() == after.status() {
            return;
        }
        // A poll may start what it leases.
        if before.status() == RunStatus::Queued && after.status().is_active() {
            self.runs_leased.with_label_values(&[moved.names.environment.as_str()]).inc();
        }
        if after.status() == RunStatus::Running
            && let Some(started) = moved.attempt_started_at
        {
            let waited = started.since(after.queued_at);
            self.queue_wait.with_label_values(&[team, app]).observe(waited.as_secs_f64());
        }
        if let Some(end) = after.state.end() {
            let (finished, labels) = (end.finished_at, [team, app, after.status().as_str()]);
            self.runs_completed.with_label_values(&labels).inc();
            let observe = |histogram: &HistogramVec, d: Duration| {
                histogram.with_label_values(&labels).observe(d.as_secs_f64());
            };
            observe(&self.total, finished.since(moved.created_at));
            if let Some(started) = moved.attempt_started_at {
                observe(&self.execution, finished.since(started));
            }
        }
    }
}
