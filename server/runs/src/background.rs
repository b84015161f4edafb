//! What runs by itself: the reaper of expired leases, the ends of backoffs, the upkeep of runners, and (in [`crate::deletion`]) the removal of
//! what was deleted.

use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use crate::domain::lease::{self, Command};
use crate::store::{attempts, runs};
use minitower_vocabulary::ids::RunId;
use minitower_vocabulary::time::Timestamp;

use crate::leases::{held, load_run, save_held};
use crate::{Engine, Error};

/// Attempts looked at in one transaction: bounds how long others wait for the writer.
const BATCH: i64 = 100;
/// Pause after a failed round.
const AFTER_FAILURE: Duration = Duration::from_secs(1);

impl Engine {
    /// Gives the due-queue what this subject does by itself, each to be called at once for the first time.
    pub(crate) fn register(&self) {
        let (memory, now) = (&self.0.memory, self.0.clock.now());
        memory.leases_due.call(self.job(Self::reap_due));
        memory.backoffs_due.call(self.job(Self::wake_due));
        memory.settle_due.call(self.job(Self::settle_due));
        memory.upkeep_due.call(self.job(Self::upkeep_due));
        memory.deletions_due.call(self.job(Self::purge_due));
        memory.leases_due.at(now);
        memory.backoffs_due.at(now);
        memory.settle_due.at(now);
        memory.upkeep_due.at(now);
        memory.deletions_due.at(now);
        self.register_storage();
        self.register_retention();
    }

    /// What the queue calls. The queue lives in what it calls, so it must not keep it alive: after the end nothing is left to do.
    pub(crate) fn job<F>(
        &self,
        job: fn(Self) -> F,
    ) -> impl Fn() -> Pin<Box<dyn Future<Output = Option<Timestamp>> + Send>> + Send + Sync + 'static
    where
        F: Future<Output = Option<Timestamp>> + Send + 'static,
    {
        let engine = Arc::downgrade(&self.0);
        move || match engine.upgrade() {
            Some(engine) => Box::pin(job(Self(engine))),
            None => Box::pin(std::future::ready(None)),
        }
    }

    async fn reap_due(self) -> Option<Timestamp> {
        let latest = self.0.settings.expiry_check_interval;
        Some(match self.reap().await {
            Ok(next) => {
                let latest = self.0.clock.now().plus(latest);
                next.map_or(latest, |next| next.min(latest))
            }
            Err(error) => {
                tracing::warn!(%error, "could not look for expired leases");
                self.0.clock.now().plus(AFTER_FAILURE)
            }
        })
    }

    async fn wake_due(self) -> Option<Timestamp> {
        match self.wake().await {
            // Nothing waits: nothing is looked for until something does.
            Ok(next) => next,
            Err(error) => {
                tracing::warn!(%error, "could not look for backoffs that have passed");
                Some(self.0.clock.now().plus(AFTER_FAILURE))
            }
        }
    }

    async fn upkeep_due(self) -> Option<Timestamp> {
        if let Err(error) = self.0.flush_presence().await {
            tracing::warn!(%error, "could not store when runners were last seen");
        }
        if let Err(error) = self.prune_keys().await {
            tracing::warn!(%error, "could not forget the idempotency keys of yesterday");
        }
        match self.runners().prune().await {
            Ok(0) => {}
            Ok(forgotten) => tracing::info!(forgotten, "forgot silent runners"),
            Err(error) => tracing::warn!(%error, "could not forget silent runners"),
        }
        Some(self.0.clock.now().plus(self.0.settings.expiry_check_interval))
    }

    /// Ends what has run out, in batches, and answers when the next lease will.
    async fn reap(&self) -> Result<Option<Timestamp>, Error> {
        loop {
            let (clock, memory) = (self.0.clock.clone(), Arc::clone(&self.0.memory));
            // Looked up on a read connection: an idle server writes nothing.
            let now = clock.now();
            let (expired, next) = self
                .0
                .store
                .read(move |db| {
                    Ok::<_, Error>((attempts::expired(db, now, BATCH)?, attempts::next_expiry(db)?))
                })
                .await?;
            if expired.is_empty() {
                return Ok(next);
            }
            let reaped = self
                .0
                .store
                .write_upkeep(move |tx| {
                    let now = clock.now();
                    let mut reaped = 0_usize;
                    for attempt in attempts::expired(tx, now, BATCH)? {
                        let run = load_run(tx, attempt.run_id)?;
                        let after = lease::decide(held(&run, &attempt), Command::Expire, now)?;
                        let (run, attempt) = save_held(tx, &memory.gates, (run, attempt), after)?;
                        tracing::info!(
                            run_id = run.id.0,
                            attempt_id = attempt.id.0,
                            runner = attempt.runner_name,
                            status = run.status().as_str(),
                            "a lease ran out"
                        );
                        reaped += 1;
                    }
                    Ok::<_, Error>(reaped)
                })
                .await?;
            tracing::debug!(reaped, "looked for expired leases");
        }
    }

    /// Makes runs ready whose backoff has passed, in batches, and answers when the next one will have.
    async fn wake(&self) -> Result<Option<Timestamp>, Error> {
        loop {
            let (clock, memory) = (self.0.clock.clone(), Arc::clone(&self.0.memory));
            let next = self.0.store.read(|db| Ok::<_, Error>(runs::next_due(db)?)).await?;
            if next.is_none_or(|next| next > clock.now()) {
                return Ok(next);
            }
            let woken = self
                .0
                .store
                .write_upkeep(move |tx| {
                    let now = clock.now();
                    let mut woken = 0_usize;
                    for run in runs::due(tx, now, BATCH)? {
                        let Some(ready) = lease::wake(&run.progress, now) else { continue };
                        let entering = memory.gates.entering(&run, ready);
                        runs::save(tx, run, entering, None)?;
                        woken += 1;
                    }
                    Ok::<_, Error>(woken)
                })
                .await?;
            tracing::debug!(woken, "made runs ready whose backoff had passed");
        }
    }

    /// After a restart no backoff ends further away than its policy allows: a clock that was wrong must not hold a run for ever.
    pub(crate) async fn cut_backoffs(&self) -> Result<(), Error> {
        let mut last = (self.0.clock.now(), RunId(i64::MAX));
        loop {
            let clock = self.0.clock.clone();
            let next = self
                .0
                .store
                .write_upkeep(move |tx| {
                    let now = clock.now();
                    let batch = runs::backing_off(tx, last, BATCH)?;
                    let last = batch.last().and_then(|run| Some((run.progress.state.not_before()?, run.id)));
                    for run in batch {
                        let after = lease::backoff_after_restart(run.progress.clone(), now);
                        runs::save(tx, run, after, None)?;
                    }
                    Ok::<_, Error>(last)
                })
                .await?;
            match next {
                Some(next) => last = next,
                None => return Ok(()),
            }
        }
    }

    /// After a restart every active lease lasts at least a full TTL: an outage must not cost a run.
    pub(crate) async fn grant_restart_grace(&self) -> Result<(), Error> {
        let mut after = RunId(0);
        loop {
            let (ttl, clock) = (self.0.settings.lease_ttl, self.0.clock.clone());
            let last = self
                .0
                .store
                .write_upkeep(move |tx| {
                    let now = clock.now();
                    let batch = attempts::active(tx, after, BATCH)?;
                    let last = batch.last().map(|attempt| attempt.run_id);
                    for attempt in batch {
                        let lease = lease::after_restart(attempt.lease.clone(), ttl, now);
                        attempts::save_lease(tx, attempt, lease)?;
                    }
                    Ok::<_, Error>(last)
                })
                .await?;
            match last {
                Some(id) => after = id,
                None => return Ok(()),
            }
        }
    }
}
