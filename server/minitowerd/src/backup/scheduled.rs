//! The backups that the server makes by itself.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use minitower_kernel::backup::{self, BackupError, Made, Plan, Source, Staging, Target, Tell};
use minitower_kernel::clock::{Clock, Timestamp};
use minitower_kernel::due::DueQueue;
use prometheus::{Gauge, IntCounter, IntGauge, Registry};
use tokio_util::sync::CancellationToken;

use super::{KNOWS, ObjectsAt};
use crate::config::BackupSettings;

/// After a failure, or while another backup is under way, it is tried again.
const AGAIN: Duration = Duration::from_mins(5);

/// What is measured of backups.
#[derive(Debug, Clone)]
struct Metrics {
    last_success: IntGauge,
    last_duration: Gauge,
    failures: IntCounter,
}

impl Metrics {
    fn new(registry: &Registry, every: Duration) -> Result<Self, prometheus::Error> {
        let last_success = IntGauge::new(
            "minitower_backup_last_success_timestamp_seconds",
            "When the last whole backup began; 0: there is none",
        )?;
        let last_duration =
            Gauge::new("minitower_backup_last_duration_seconds", "How long the last whole backup took")?;
        let failures = IntCounter::new("minitower_backup_failures_total", "Backups that failed")?;
        let interval = IntGauge::new("minitower_backup_interval_seconds", "How often a backup is made")?;
        interval.set(i64::try_from(every.as_secs()).unwrap_or(i64::MAX));
        registry.register(Box::new(last_success.clone()))?;
        registry.register(Box::new(last_duration.clone()))?;
        registry.register(Box::new(failures.clone()))?;
        registry.register(Box::new(interval))?;
        Ok(Self { last_success, last_duration, failures })
    }
}

struct Scheduled {
    settings: BackupSettings,
    source: Source,
    objects: ObjectsAt,
    clock: Clock,
    metrics: Metrics,
    stop: CancellationToken,
    /// When the last whole backup was begun; none: it was not looked for yet, or there is none.
    last: Mutex<Option<Timestamp>>,
}

/// Gives the due-queue the backups. The first one is made when the last one in the place is older than the interval.
pub(crate) fn start(
    settings: BackupSettings,
    (source, objects): (Source, ObjectsAt),
    clock: Clock,
    (registry, due): (&Registry, &DueQueue),
    stop: CancellationToken,
) -> Result<(), prometheus::Error> {
    let metrics = Metrics::new(registry, settings.every)?;
    let now = clock.now();
    tracing::info!(to = %settings.to, every = ?settings.every, keep = settings.keep, "the server backs itself up");
    let scheduled =
        Arc::new(Scheduled { settings, source, objects, clock, metrics, stop, last: Mutex::default() });
    let place = due.place();
    place.call(move || {
        let scheduled = Arc::clone(&scheduled);
        async move { scheduled.due().await }
    });
    place.at(now);
    Ok(())
}

impl Scheduled {
    /// Makes a backup if it is time. Answers when to look again.
    async fn due(&self) -> Option<Timestamp> {
        let now = self.clock.now();
        match self.make_if_due(now).await {
            Ok(next) => Some(next),
            Err(BackupError::Stopped) => None,
            Err(error @ BackupError::Busy) => {
                tracing::info!(%error, "the server's own backup waits");
                Some(now.plus(AGAIN))
            }
            Err(error) => {
                self.metrics.failures.inc();
                tracing::error!(%error, to = %self.settings.to, "the backup failed; it is tried again");
                Some(self.clock.now().plus(AGAIN.min(self.settings.every)))
            }
        }
    }

    async fn make_if_due(&self, now: Timestamp) -> Result<Timestamp, BackupError> {
        let staging = Staging::take(self.objects.dir())?;
        let target = Target::open(&self.settings.to, staging.dir())?;
        let known = *self.last.lock().unwrap_or_else(PoisonError::into_inner);
        let last = match known {
            Some(last) => Some(last),
            None => backup::newest(&target).await?.map(|manifest| Timestamp(manifest.taken_at_ms())),
        };
        if let Some(last) = last {
            self.note(last);
            let next = last.plus(self.settings.every);
            if now < next {
                return Ok(next);
            }
        }
        let made = backup::make(
            Plan {
                source: self.source.clone(),
                objects: self.objects.open()?,
                target,
                knows: KNOWS,
                staging,
                key: None,
                keep: Some(self.settings.keep),
                version: env!("CARGO_PKG_VERSION"),
                stop: self.stop.clone(),
                tell: Tell::nobody(),
            },
            now,
        )
        .await?;
        self.note(now);
        self.metrics.last_duration.set(made.took.as_secs_f64());
        told(&made);
        Ok(now.plus(self.settings.every))
    }

    fn note(&self, last: Timestamp) {
        *self.last.lock().unwrap_or_else(PoisonError::into_inner) = Some(last);
        self.metrics.last_success.set(last.0 / 1000);
    }
}

fn told(made: &Made) {
    let manifest = &made.manifest;
    tracing::info!(
        backup = %manifest.name,
        database_bytes = manifest.database.bytes,
        objects = manifest.objects.count,
        copied = made.copied,
        missing = manifest.objects.missing,
        removed = made.removed,
        seconds = made.took.as_secs_f64(),
        "made a backup"
    );
    if let Some(error) = &made.not_removed {
        tracing::error!(error, "former backups were not removed");
    }
}
