//! What runs by itself: the reaper of expired leases, the ends of backoffs, and the upkeep of runners.

use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use crate::domain::lease::{self, Command};
use crate::store::{attempts, runs};
use minitower_kernel::clock::Clock;
use minitower_vocabulary::ids::RunId;
use minitower_vocabulary::time::Timestamp;
use tokio::sync::Notify;

use crate::leases::{held, load_run, save_held};
use crate::{Engine, Error};

/// Attempts looked at in one transaction: bounds how long others wait for the writer.
const BATCH: i64 = 100;
/// Pause after a failed round.
const AFTER_FAILURE: Duration = Duration::from_secs(1);

/// Longest sleep at a time: a machine that was suspended wakes up later than its timers think.
const LONGEST_SLEEP: Duration = Duration::from_secs(10);

/// Tells who waits for a moment of one that comes before it means to look next: of a lease that may run out, of a backoff that ends.
#[derive(Debug)]
pub(crate) struct Alarm {
    /// When it looks next, or would have to.
    set_for: AtomicI64,
    earlier: Notify,
}

impl Default for Alarm {
    fn default() -> Self {
        Self { set_for: AtomicI64::new(i64::MAX), earlier: Notify::new() }
    }
}

impl Alarm {
    /// Something is due at `at`, unless it is put off.
    pub(crate) fn note(&self, at: Timestamp) {
        if at.0 < self.set_for.fetch_min(at.0, Ordering::SeqCst) {
            self.earlier.notify_one();
        }
    }

    /// Whoever waits is about to look: what is noted from now on counts for its next pause.
    fn clear(&self) {
        self.set_for.store(i64::MAX, Ordering::SeqCst);
    }

    /// Waits until `at`, or until the earliest moment that was noted.
    async fn wait(&self, at: Timestamp, clock: &Clock) {
        let mut at = at.0.min(self.set_for.fetch_min(at.0, Ordering::SeqCst));
        loop {
            // A millisecond more than the difference, so that it is due by then.
            let pause = Timestamp(at).since(clock.now()) + Duration::from_millis(1);
            tokio::select! {
                () = tokio::time::sleep(pause.min(LONGEST_SLEEP)) => {
                    if pause <= LONGEST_SLEEP {
                        return;
                    }
                }
                () = self.earlier.notified() => at = at.min(self.set_for.load(Ordering::SeqCst)),
            }
        }
    }
}

impl Engine {
    /// Runs until the stop begins. Whoever spawns it treats its end before that as a failure of the server.
    pub async fn run_background(&self) {
        let stopping = self.0.stopping.clone();
        tokio::select! {
            () = stopping.cancelled() => {}
            () = self.reap_forever() => {}
            () = self.wake_forever() => {}
            () = self.upkeep_forever() => {}
        }
    }

    async fn reap_forever(&self) {
        let (clock, alarm) = (&self.0.clock, &self.0.memory.alarm);
        loop {
            // Before the look: a lease granted after it is noted, one granted before it is seen.
            alarm.clear();
            let next = match self.reap().await {
                Ok(next) => {
                    let latest = clock.now().plus(self.0.settings.expiry_check_interval);
                    next.map_or(latest, |next| next.min(latest))
                }
                Err(error) => {
                    tracing::warn!(%error, "could not look for expired leases");
                    clock.now().plus(AFTER_FAILURE)
                }
            };
            alarm.wait(next, clock).await;
        }
    }

    /// Ends what has run out, in batches, and answers when the next lease will.
    async fn reap(&self) -> Result<Option<Timestamp>, Error> {
        loop {
            let clock = self.0.clock.clone();
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
                .write(move |tx| {
                    let now = clock.now();
                    let mut reaped = 0_usize;
                    for attempt in attempts::expired(tx, now, BATCH)? {
                        let run = load_run(tx, attempt.run_id)?;
                        let after = lease::decide(&held(&run, &attempt), &Command::Expire, now)?;
                        let (run, attempt) = save_held(tx, &run, &attempt, after)?;
                        tracing::info!(
                            run_id = run.id.0,
                            attempt_id = attempt.id.0,
                            runner = attempt.runner_name,
                            status = run.state.status.as_str(),
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

    async fn wake_forever(&self) {
        let (clock, alarm) = (&self.0.clock, &self.0.memory.backoffs);
        loop {
            // Before the look: a backoff that begins after it is noted, one that began before it is seen.
            alarm.clear();
            let next = match self.wake_due().await {
                // Nothing waits: nothing is looked for until something does.
                Ok(next) => next.unwrap_or(Timestamp(i64::MAX)),
                Err(error) => {
                    tracing::warn!(%error, "could not look for backoffs that have passed");
                    clock.now().plus(AFTER_FAILURE)
                }
            };
            alarm.wait(next, clock).await;
        }
    }

    /// Makes runs ready whose backoff has passed, in batches, and answers when the next one will have.
    async fn wake_due(&self) -> Result<Option<Timestamp>, Error> {
        loop {
            let clock = self.0.clock.clone();
            let next = self.0.store.read(|db| Ok::<_, Error>(runs::next_due(db)?)).await?;
            if next.is_none_or(|next| next > clock.now()) {
                return Ok(next);
            }
            let woken = self
                .0
                .store
                .write(move |tx| {
                    let now = clock.now();
                    let mut woken = 0_usize;
                    for run in runs::due(tx, now, BATCH)? {
                        let Some(ready) = lease::wake(&run.state, now) else { continue };
                        runs::save(tx, &run, ready, None)?;
                        woken += 1;
                    }
                    Ok::<_, Error>(woken)
                })
                .await?;
            tracing::debug!(woken, "made runs ready whose backoff had passed");
        }
    }

    async fn upkeep_forever(&self) {
        let mut ticks = tokio::time::interval(self.0.settings.expiry_check_interval);
        ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            ticks.tick().await;
            if let Err(error) = self.0.flush_presence().await {
                tracing::warn!(%error, "could not write down which runners were heard of");
            }
            match self.runners().prune().await {
                Ok(0) => {}
                Ok(forgotten) => tracing::info!(forgotten, "forgot silent runners"),
                Err(error) => tracing::warn!(%error, "could not forget silent runners"),
            }
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
                .write(move |tx| {
                    let now = clock.now();
                    let batch = runs::backing_off(tx, last, BATCH)?;
                    for run in &batch {
                        runs::save(tx, run, lease::backoff_after_restart(&run.state, now), None)?;
                    }
                    Ok::<_, Error>(batch.last().and_then(|run| Some((run.state.not_before?, run.id))))
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
                .write(move |tx| {
                    let now = clock.now();
                    let batch = attempts::active(tx, after, BATCH)?;
                    for attempt in &batch {
                        let state = lease::after_restart(&attempt.state, ttl, now);
                        attempts::save(tx, attempt, state)?;
                    }
                    Ok::<_, Error>(batch.last().map(|a| a.run_id))
                })
                .await?;
            match last {
                Some(id) => after = id,
                None => return Ok(()),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn waits(alarm: &Alarm, at: Timestamp, clock: &Clock) -> bool {
        tokio::time::timeout(Duration::from_millis(50), alarm.wait(at, clock)).await.is_err()
    }

    #[tokio::test]
    async fn a_lease_noted_between_the_look_and_the_pause_is_not_slept_through() {
        let (alarm, clock) = (Alarm::default(), Clock::start());
        let (soon, late) = (clock.now(), clock.now().plus(Duration::from_secs(3600)));
        alarm.clear();
        alarm.note(soon);
        assert!(!waits(&alarm, late, &clock).await);
        // A notification that is left over ends no later pause before its time, and prolongs none.
        alarm.clear();
        alarm.note(late);
        assert!(!waits(&alarm, clock.now(), &clock).await);
        alarm.clear();
        assert!(waits(&alarm, late, &clock).await);
    }

    #[tokio::test]
    async fn a_lease_noted_during_the_pause_cuts_it_short() {
        let (alarm, clock) = (Alarm::default(), Clock::start());
        alarm.clear();
        let late = clock.now().plus(Duration::from_secs(3600));
        let note = async {
            tokio::task::yield_now().await;
            alarm.note(clock.now());
        };
        let both = async { tokio::join!(alarm.wait(late, &clock), note) };
        tokio::time::timeout(Duration::from_secs(5), both).await.unwrap();
    }
}
