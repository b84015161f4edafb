//! What is old goes by itself: runs with their logs and artifacts, and versions that no run has.
//!
//! The newest runs and versions of each app stay, whatever their age. Slices are as short as those of deletions, and as far apart.

use std::time::{Duration, Instant};

use minitower_kernel::Db;
use minitower_vocabulary::ids::{AppId, RunId};
use minitower_vocabulary::time::Timestamp;

use crate::store::retention::{self, Keep, Old};
use crate::store::{deletion, runs};
use crate::{Engine, Error};

/// How long a slice takes of the writer's time, about.
const SLICE: Duration = Duration::from_millis(10);
/// Runs looked at together.
const RUNS: i64 = 200;
/// Apps looked at together.
const APPS: i64 = 100;
/// Versions that go together.
const VERSIONS: i64 = 100;
/// How long a key answers with its run.
const KEYS: Duration = Duration::from_hours(24);
/// From one look for what is old to the next, and when the first one is after the start.
const LOOK_EVERY: Duration = Duration::from_hours(1);
const FIRST_LOOK: Duration = Duration::from_mins(1);
/// Pause after a failed look.
const AFTER_FAILURE: Duration = Duration::from_mins(1);

/// How long what has ended is kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Retention {
    /// At least so long; none: for ever.
    pub runs_for: Option<Duration>,
    /// So many of the newest runs of each app stay in any case, and as many of its versions.
    pub last: u32,
}

impl Default for Retention {
    fn default() -> Self {
        Self { runs_for: Some(Duration::from_hours(90 * 24)), last: 100 }
    }
}

/// What went.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub struct Pruned {
    /// Runs.
    pub runs: u64,
    /// Versions.
    pub versions: u64,
}

fn before(now: Timestamp, age: Duration) -> Timestamp {
    Timestamp(now.0.saturating_sub(i64::try_from(age.as_millis()).unwrap_or(i64::MAX)))
}

impl Engine {
    /// Removes what is old. Answers what went.
    pub async fn prune_old(&self) -> Result<Pruned, Error> {
        let mut pruned = Pruned::default();
        let Retention { runs_for: Some(age), last } = self.0.settings.retention else { return Ok(pruned) };
        let now = self.0.clock.now();
        let keep = Keep { before: before(now, age), keys_since: before(now, KEYS), last: i64::from(last) };
        let mut after = AppId(0);
        loop {
            let read = self.0.store.read(move |db| Ok::<_, Error>(retention::apps(db, after, APPS)?));
            let apps = read.await?;
            let Some(newest) = apps.last() else { return Ok(pruned) };
            after = *newest;
            for app in apps {
                pruned.runs += self.prune_runs(app, keep).await?;
                pruned.versions += self.prune_versions(app, keep).await?;
                if self.0.stopping.is_cancelled() {
                    return Ok(pruned);
                }
            }
        }
    }

    async fn prune_runs(&self, app: AppId, keep: Keep) -> Result<u64, Error> {
        let (mut after, mut gone) = (0, 0);
        loop {
            let look = move |db: &Db| Ok::<_, Error>(retention::runs(db, (app, after), keep, RUNS)?);
            let page = self.0.store.read(look).await?;
            let Some(last) = page.last() else { return Ok(gone) };
            after = last.number;
            let mut old: Vec<RunId> =
                page.iter().rev().filter(|old| old.goes).map(|Old { id, .. }| *id).collect();
            while !old.is_empty() && !self.0.stopping.is_cancelled() {
                let began = Instant::now();
                let (left, went) = self.prune_slice(old, keep).await?;
                (old, gone) = (left, gone + went);
                self.0.memory.metrics.runs_pruned.inc_by(went);
                // Half of the time is for others.
                tokio::time::sleep(began.elapsed().min(10 * SLICE)).await;
            }
            if self.0.stopping.is_cancelled() {
                return Ok(gone);
            }
        }
    }

    /// Removes as many of these runs as the time allows, from the end. Answers those that are left, and how many went.
    async fn prune_slice(&self, mut old: Vec<RunId>, keep: Keep) -> Result<(Vec<RunId>, u64), Error> {
        let clock = self.0.clock.clone();
        let sliced = self.0.store.write_upkeep(move |tx| {
            let (until, mut went, mut hashes) = (Instant::now() + SLICE, 0, Vec::new());
            let mut left_half = false;
            'runs: while let Some(id) = old.pop() {
                // What has changed since it was looked at stays.
                let run = if retention::still_goes(tx, id, keep)? { runs::by_id(tx, id)? } else { None };
                let Some(run) = run.filter(|run| run.status().is_terminal()) else { continue };
                while deletion::remove_lines(tx, &run)? {
                    if Instant::now() >= until {
                        // Nobody sees half of a log: whoever removes what was deleted goes on with it.
                        deletion::delete_run(tx, id, clock.now())?;
                        (left_half, went) = (true, went + 1);
                        break 'runs;
                    }
                }
                hashes.extend(deletion::remove_run(tx, &run)?);
                went += 1;
                if Instant::now() >= until {
                    break;
                }
            }
            Ok::<_, Error>((old, went, hashes, left_half))
        });
        let (left, went, hashes, left_half) = sliced.await?;
        for hash in hashes {
            self.0.forget_if_unused(hash).await;
        }
        if left_half {
            self.0.memory.deletions_due.at(self.0.clock.now());
        }
        Ok((left, went))
    }

    async fn prune_versions(&self, app: AppId, keep: Keep) -> Result<u64, Error> {
        let look = move |db: &Db| Ok::<_, Error>(retention::versions(db, app, keep, VERSIONS)?);
        if self.0.store.read(look).await?.is_empty() {
            return Ok(0);
        }
        let clock = self.0.clock.clone();
        let deleted = self.0.store.write_upkeep(move |tx| {
            let old = retention::versions(tx, app, keep, VERSIONS)?;
            for version in &old {
                deletion::delete_version(tx, (app, *version), clock.now())?;
            }
            Ok::<_, Error>(old.len() as u64)
        });
        let deleted = deleted.await?;
        // Their archives go with what else was deleted.
        self.0.memory.deletions_due.at(self.0.clock.now());
        Ok(deleted)
    }

    async fn prune_due(self) -> Option<Timestamp> {
        let pause = match self.prune_old().await {
            Ok(Pruned { runs: 0, versions: 0 }) => LOOK_EVERY,
            Ok(Pruned { runs, versions }) => {
                tracing::info!(runs, versions, "removed what was old");
                LOOK_EVERY
            }
            Err(error) => {
                tracing::warn!(%error, "could not remove what is old");
                AFTER_FAILURE
            }
        };
        Some(self.0.clock.now().plus(pause))
    }

    /// Gives the due-queue the removal of what is old.
    pub(crate) fn register_retention(&self) {
        self.0.memory.retention_due.call(self.job(Self::prune_due));
        self.0.memory.retention_due.at(self.0.clock.now().plus(FIRST_LOOK));
    }
}
