//! The database's metrics. Names are fixed: dashboards read them.

use prometheus::{Histogram, HistogramOpts, IntGauge, IntGaugeVec, Opts, Registry};

use crate::Store;
use crate::volumes::Holds;

/// What is measured of the database. A cheap clone.
#[derive(Debug, Clone)]
pub struct DatabaseMetrics {
    size_bytes: IntGauge,
    batch_size: Histogram,
    free_bytes: IntGaugeVec,
    reusable_bytes: IntGauge,
}

impl DatabaseMetrics {
    /// Registers them.
    pub fn new(registry: &Registry) -> Result<Self, prometheus::Error> {
        let size_bytes =
            IntGauge::new("minitower_db_size_bytes", "Bytes of the database and its write-ahead log")?;
        registry.register(Box::new(size_bytes.clone()))?;
        let batch_size = Histogram::with_opts(
            HistogramOpts::new("minitower_db_write_batch_size", "Commands in one commit")
                .buckets(vec![1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 64.0, 128.0, 256.0]),
        )?;
        registry.register(Box::new(batch_size.clone()))?;
        let free_bytes = IntGaugeVec::new(
            Opts::new(
                "minitower_volume_free_bytes",
                "Bytes free on the volume of the database or the objects",
            ),
            &["volume"],
        )?;
        registry.register(Box::new(free_bytes.clone()))?;
        let reusable_bytes = IntGauge::new(
            "minitower_db_free_bytes",
            "Bytes of pages that the database has and does not use: new rows take them before it grows",
        )?;
        registry.register(Box::new(reusable_bytes.clone()))?;
        Ok(Self { size_bytes, batch_size, free_bytes, reusable_bytes })
    }

    /// Notes how many commands a commit held.
    pub fn batch(&self, size: usize) {
        #[expect(clippy::cast_precision_loss, reason = "a batch holds hundreds")]
        self.batch_size.observe(size as f64);
    }

    /// Brings the gauges up to now.
    pub fn refresh(&self, store: &Store) {
        self.size_bytes.set(i64::try_from(store.size_bytes()).unwrap_or(i64::MAX));
        for space in store.volumes().spaces() {
            let free = self.free_bytes.with_label_values(&[space.holds.as_str()]);
            free.set(i64::try_from(space.free).unwrap_or(i64::MAX));
            if space.holds == Holds::Database {
                self.reusable_bytes.set(i64::try_from(space.reusable).unwrap_or(i64::MAX));
            }
        }
    }
}
