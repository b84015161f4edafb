//! What runs by itself: the start of the outbox, its upkeep, and its end.

use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use minitower_kernel::StoreError;
use minitower_vocabulary::ids::NotificationId;
use minitower_vocabulary::time::Timestamp;

use crate::Notifications;
use crate::domain::schedule;
use crate::sender::tell_dropped;
use crate::store::{deliveries, notifications};

/// Pause between two rounds.
const PAUSE: Duration = Duration::from_secs(60);
/// How long deliveries that have ended are kept.
const KEPT_FOR: Duration = Duration::from_hours(24 * 30);
/// How many of each notification are kept, with those that wait.
const KEPT: i64 = 2000;
/// Rows that one command deletes: it holds up others for a few milliseconds.
const SLICE: i64 = 200;
/// Notifications that are read at a time at the start.
const READ_AT_ONCE: i64 = 1000;
/// How long the end waits for what is under way.
const LAST_ANSWERS: Duration = Duration::from_secs(3);

impl Notifications {
    /// Gives the due-queue what this subject does by itself.
    pub(crate) fn register(&self) {
        let (memory, now) = (&self.0.memory, self.0.clock.now());
        memory.send_due.call(self.job(Self::send_due));
        memory.watch_due.call(self.job(Self::watch_due));
        memory.upkeep_due.call(self.job(Self::upkeep));
        memory.send_due.at(now);
        memory.watch_due.at(now);
        memory.upkeep_due.at(now);
    }

    /// What the queue calls. The queue lives in what it calls, so it must not keep it alive: after the end nothing is left to do.
    fn job<F>(
        &self,
        job: fn(Self) -> F,
    ) -> impl Fn() -> Pin<Box<dyn Future<Output = Option<Timestamp>> + Send>> + Send + Sync + 'static
    where
        F: Future<Output = Option<Timestamp>> + Send + 'static,
    {
        let subject = Arc::downgrade(&self.0);
        move || match subject.upgrade() {
            Some(subject) => Box::pin(job(Self(subject))),
            None => Box::pin(std::future::ready(None)),
        }
    }

    /// Notes what the last stop left in the outbox.
    pub(crate) async fn load_outbox(&self) -> Result<(), StoreError> {
        self.0.memory.metrics.load(self.0.store.read(notifications::all_waiting).await?);
        let (mut after, latest) = (NotificationId(0), schedule::latest(self.0.clock.now()));
        loop {
            let page = self.0.store.read(move |db| deliveries::next_of_each(db, after, READ_AT_ONCE)).await?;
            let Some((last, _)) = page.last() else { return Ok(()) };
            after = *last;
            for (id, at) in page {
                if at > latest {
                    // By a clock that was wrong. It must not hold it for ever.
                    self.0.store.write_upkeep(move |tx| deliveries::bring_forward(tx, id, latest)).await?;
                }
                self.0.memory.queue.note(id, at.min(latest));
            }
        }
    }

    async fn upkeep(self) -> Option<Timestamp> {
        if let Err(error) = self.prune().await {
            tracing::warn!(%error, "could not tidy up the outbox of notifications");
        }
        Some(self.0.clock.now().plus(PAUSE))
    }

    async fn prune(&self) -> Result<(), StoreError> {
        let (store, now) = (&self.0.store, self.0.clock.now());
        let before = now.before(KEPT_FOR);
        // Looked up on a read connection: an idle server writes nothing.
        while store.read(move |db| deliveries::any_older(db, before)).await? {
            store.write_upkeep(move |tx| deliveries::prune_old(tx, before, SLICE)).await?;
        }
        for id in self.0.memory.queue.take_touched() {
            while store.write_upkeep(move |tx| deliveries::prune_many(tx, id, KEPT, SLICE)).await? > 0 {}
        }
        for id in store.read(|db| notifications::with_dropped(db, READ_AT_ONCE)).await? {
            store.write_upkeep(move |tx| tell_dropped(tx, id, now)).await?;
        }
        Ok(())
    }

    /// Waits a moment for the answers to what is under way: what is not written down is sent again.
    pub async fn close(&self) {
        self.0.sending.close();
        let ended = tokio::time::timeout(LAST_ANSWERS, self.0.sending.wait()).await;
        if ended.is_err() {
            tracing::info!(
                requests = self.0.sending.len(),
                "notifications under way are sent again after the start"
            );
        }
    }
}
