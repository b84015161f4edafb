//! What is measured. Names are fixed: dashboards read them.

use minitower_vocabulary::wire::notifications::TargetKind;
use prometheus::{IntCounter, IntCounterVec, IntGauge, Opts, Registry};

use crate::store::events::OutboxMoved;

/// What is measured of notifications.
#[derive(Debug, Clone)]
pub(crate) struct Metrics {
    waiting: IntGauge,
    queued: IntCounter,
    dropped: IntCounter,
    attempts: IntCounterVec,
}

impl Metrics {
    pub(crate) fn new(registry: &Registry) -> Result<Self, prometheus::Error> {
        let waiting = IntGauge::new(
            "minitower_notifications_waiting",
            "Deliveries of notifications that are to be sent, for the first time or again",
        )?;
        let queued = IntCounter::new(
            "minitower_notifications_queued_total",
            "Deliveries of notifications that were written to the outbox",
        )?;
        let dropped = IntCounter::new(
            "minitower_notifications_dropped_total",
            "Deliveries of notifications that were not made because too many waited",
        )?;
        let attempts = IntCounterVec::new(
            Opts::new("minitower_notification_attempts_total", "Attempts at sending a notification"),
            &["kind", "outcome"],
        )?;
        registry.register(Box::new(waiting.clone()))?;
        registry.register(Box::new(queued.clone()))?;
        registry.register(Box::new(dropped.clone()))?;
        registry.register(Box::new(attempts.clone()))?;
        Ok(Self { waiting, queued, dropped, attempts })
    }

    /// What waits at the start; from then on it follows the commits.
    pub(crate) fn load(&self, waiting: i64) {
        self.waiting.set(waiting);
    }

    pub(crate) fn moved(&self, moved: OutboxMoved) {
        self.waiting.add(moved.waiting);
        self.queued.inc_by(moved.queued);
        self.dropped.inc_by(moved.dropped);
    }

    pub(crate) fn attempted(&self, kind: TargetKind, delivered: bool) {
        let outcome = if delivered { "delivered" } else { "failed" };
        self.attempts.with_label_values(&[kind.as_str(), outcome]).inc();
    }
}
