//! What is old goes by itself: runs with their logs and artifacts, and versions that no run has.
//!
//! The newest runs and versions of each app stay, whatever their age. Slices are as short as those of deletions, and as far apart.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use minitower_kernel::Db;
use minitower_teams::team::TeamPrincipal;
use minitower_vocabulary::ids::{AppId, RunId, VersionId};
use minitower_vocabulary::time::Timestamp;

use crate::domain::retention::{Change, LEAST_SECONDS, MOST_LAST, MOST_SECONDS, Retention};
use crate::store::retention::{self, Keep, Old, Ruled};
use crate::store::{deletion, runs};
use crate::{Apps, Engine, Error, Field, Shared};

/// How long a slice takes of the writer's time, about.
const SLICE: Duration = Duration::from_millis(10);
/// How many times as long as a slice the pause behind it is. While others come, retention has a fortieth of the writer's time, which still is
/// enough for tens of millions of runs a day. Else it has half.
const PAUSE_FOR_MANY: u32 = 39;
const PAUSE_FOR_FEW: u32 = 1;
/// So many commands that wait behind a slice are many.
const MANY: usize = 4;
/// The shortest time from one look for what is old to the next.
const LOOK_AT_MOST_EVERY: Duration = Duration::from_secs(1);
/// Runs looked at together.
const RUNS: i64 = 200;
/// Apps looked at together.
const APPS: i64 = 100;
/// Versions of an app that are looked at in one round.
const VERSIONS: i64 = 10_000;
/// Runs whose versions are read together.
const RUNS_OF_VERSIONS: i64 = 10_000;
/// How long a key answers with its run.
const KEYS: Duration = Duration::from_hours(24);
/// From one look for what is old to the next, and when the first one is after the start.
const LOOK_EVERY: Duration = Duration::from_hours(1);
const FIRST_LOOK: Duration = Duration::from_mins(1);
/// Pause after a failed look.
const AFTER_FAILURE: Duration = Duration::from_mins(1);

/// What went.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub struct Pruned {
    /// Runs.
    pub runs: u64,
    /// Versions.
    pub versions: u64,
}

/// How long to leave the writer to others behind a slice that took so long, when so many wait.
fn pause(took: Duration, waiting: usize) -> Duration {
    took.min(2 * SLICE) * if waiting >= MANY { PAUSE_FOR_MANY } else { PAUSE_FOR_FEW }
}

fn before(now: Timestamp, age: Duration) -> Timestamp {
    Timestamp(now.0.saturating_sub(i64::try_from(age.as_millis()).unwrap_or(i64::MAX)))
}

/// Refuses what makes no sense, by the names of the two fields.
pub(crate) fn check(change: &Change, [seconds, last]: [&'static str; 2]) -> Result<(), Error> {
    if let Some(found) = change.bad_seconds() {
        let (least, most) = (LEAST_SECONDS, MOST_SECONDS);
        return Err(Error::field(seconds, Field::NeitherForEverNorBetween { least, most, found }));
    }
    if let Some(found) = change.bad_last() {
        return Err(Error::field(last, Field::NotBetween { least: 0, most: MOST_LAST, found: Some(found) }));
    }
    Ok(())
}

impl Apps {
    /// How long the team keeps what has ended, unless an app says otherwise; and what the server says.
    pub async fn retention(&self, by: &TeamPrincipal) -> Result<(Retention, Retention), Error> {
        let (team, default) = (by.team_id, self.0.settings.retention);
        let read = self.0.store.read(move |db| Ok::<_, Error>(retention::of_team(db, team)?));
        Ok((default.with(read.await?), default))
    }

    /// An admin says how long the team keeps what has ended. Answers the same as [`Apps::retention`].
    pub async fn set_retention(
        &self,
        by: &TeamPrincipal,
        change: Change,
    ) -> Result<(Retention, Retention), Error> {
        check(&change, ["keep_seconds", "keep_last"])?;
        let (team, default) = (by.team_id, self.0.settings.retention);
        let written = self.0.store.write_upkeep(move |tx| {
            let said = retention::of_team(tx, team)?.after(change);
            retention::put(tx, team, said)?;
            Ok::<_, Error>(said)
        });
        Ok((default.with(written.await?), default))
    }
}

impl Shared {
    /// How long what an app has is kept.
    fn kept(&self, Ruled { team, own, .. }: Ruled) -> Retention {
        self.settings.retention.with(team).with(own)
    }
}

/// An app of which something may be old.
#[derive(Debug, Clone, Copy)]
struct Looked {
    app: AppId,
    /// By what it was looked at.
    kept: Retention,
    keep: Keep,
}

/// What came of a slice.
struct Sliced<T> {
    /// What is left to remove. None: how long it is kept has changed since it was looked at, or the app was deleted.
    left: Option<Vec<T>>,
    /// How many went.
    gone: u64,
    /// How long the writer is for others now.
    pause: Duration,
}

impl<T> Sliced<T> {
    fn changed() -> Self {
        Self { left: None, gone: 0, pause: Duration::ZERO }
    }
}

impl Engine {
    /// Removes what is old. Answers what went.
    pub async fn prune_old(&self) -> Result<Pruned, Error> {
        let mut pruned = Pruned::default();
        let now = self.0.clock.now();
        let mut after = AppId(0);
        loop {
            let read = self.0.store.read(move |db| Ok::<_, Error>(retention::apps(db, after, APPS)?));
            let apps = read.await?;
            let Some(newest) = apps.last() else { return Ok(pruned) };
            after = newest.app;
            for ruled in apps {
                let kept = self.0.kept(ruled);
                let Some(age) = kept.runs_for else { continue };
                let keep = Keep {
                    before: before(now, age),
                    keys_since: before(now, KEYS),
                    last: i64::from(kept.last),
                };
                let looked = Looked { app: ruled.app, kept, keep };
                pruned.runs += self.prune_runs(looked).await?;
                pruned.versions += self.prune_versions(looked).await?;
                if self.0.stopping.is_cancelled() {
                    return Ok(pruned);
                }
            }
        }
    }

    async fn prune_runs(&self, looked: Looked) -> Result<u64, Error> {
        let Looked { app, keep, .. } = looked;
        let (mut after, mut gone) = (0, 0);
        loop {
            let look = move |db: &Db| Ok::<_, Error>(retention::runs(db, (app, after), keep, RUNS)?);
            let page = self.0.store.read(look).await?;
            // Runs are numbered as they come: behind a page of young ones there are no old ones.
            let Some(last) = page.last().filter(|_| page.iter().any(|run| run.old)) else { return Ok(gone) };
            after = last.number;
            let mut old: Vec<RunId> =
                page.iter().rev().filter(|old| old.goes).map(|Old { id, .. }| *id).collect();
            while !old.is_empty() && !self.0.stopping.is_cancelled() {
                let sliced = self.prune_slice(old, looked).await?;
                gone += sliced.gone;
                self.0.memory.metrics.runs_pruned.inc_by(sliced.gone);
                let Some(left) = sliced.left else { return Ok(gone) };
                old = left;
                self.pause(sliced.pause).await;
            }
            if self.0.stopping.is_cancelled() {
                return Ok(gone);
            }
        }
    }

    /// Leaves the writer to others. The end of the server cuts it short.
    async fn pause(&self, pause: Duration) {
        let _ = tokio::time::timeout(pause, self.0.stopping.cancelled()).await;
    }

    /// Removes as many of these runs as the time allows, from the end.
    async fn prune_slice(
        &self,
        mut old: Vec<RunId>,
        Looked { app, kept, keep }: Looked,
    ) -> Result<Sliced<RunId>, Error> {
        let shared = self.0.clone();
        let sliced = self.0.store.write_upkeep(move |tx| {
            let began = Instant::now();
            let (until, mut went, mut hashes) = (began + SLICE, 0, Vec::new());
            let mut left_half = false;
            if retention::app(tx, app)?.is_none_or(|ruled| shared.kept(ruled) != kept) {
                return Ok((Sliced::changed(), hashes, left_half));
            }
            'runs: while let Some(id) = old.pop() {
                // What has changed since it was looked at stays.
                let run = if retention::still_goes(tx, id, keep)? { runs::by_id(tx, id)? } else { None };
                let Some(run) = run.filter(|run| run.status().is_terminal()) else { continue };
                while deletion::remove_lines(tx, &run)? {
                    if Instant::now() >= until {
                        // Nobody sees half of a log: whoever removes what was deleted goes on with it.
                        deletion::delete_run(tx, id, shared.clock.now())?;
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
            let pause = pause(began.elapsed(), shared.store.waiting());
            Ok::<_, Error>((Sliced { left: Some(old), gone: went, pause }, hashes, left_half))
        });
        let (sliced, hashes, left_half) = sliced.await?;
        for hash in hashes {
            self.0.forget_if_unused(hash).await;
        }
        if left_half {
            self.0.memory.deletions_due.at(self.0.clock.now());
        }
        Ok(sliced)
    }

    async fn prune_versions(&self, looked: Looked) -> Result<u64, Error> {
        let Looked { app, keep, .. } = looked;
        let look = move |db: &Db| Ok::<_, Error>(retention::versions(db, app, keep, VERSIONS)?);
        let mut unused: BTreeSet<VersionId> = self.0.store.read(look).await?.into_iter().collect();
        // No index says which versions have runs: every run would pay for it. Here they are looked through once, on read connections.
        let mut looked_at = 0;
        while !unused.is_empty() && !self.0.stopping.is_cancelled() {
            let look = move |db: &Db| {
                Ok::<_, Error>(retention::versions_of_runs(db, app, looked_at, RUNS_OF_VERSIONS)?)
            };
            let (used, last) = self.0.store.read(look).await?;
            unused.retain(|version| !used.contains(version));
            let Some(last) = last else { break };
            looked_at = last;
        }
        let (mut old, mut deleted) = (Vec::from_iter(unused), 0);
        while !old.is_empty() && !self.0.stopping.is_cancelled() {
            let sliced = self.hide_versions(old, looked, looked_at).await?;
            deleted += sliced.gone;
            let Some(left) = sliced.left else { break };
            old = left;
            self.pause(sliced.pause).await;
        }
        if deleted > 0 {
            // Their archives go with what else was deleted.
            self.0.memory.deletions_due.at(self.0.clock.now());
        }
        Ok(deleted)
    }

    /// Deletes as many of these versions as the time allows, but for those of runs after a number.
    async fn hide_versions(
        &self,
        mut old: Vec<VersionId>,
        Looked { app, kept, .. }: Looked,
        looked_at: i64,
    ) -> Result<Sliced<VersionId>, Error> {
        let shared = self.0.clone();
        let hidden = self.0.store.write_upkeep(move |tx| {
            let began = Instant::now();
            let (until, mut went) = (began + SLICE, 0);
            if retention::app(tx, app)?.is_none_or(|ruled| shared.kept(ruled) != kept) {
                return Ok(Sliced::changed());
            }
            // Runs that came since the look.
            let (used, _) = retention::versions_of_runs(tx, app, looked_at, i64::MAX)?;
            while let Some(version) = old.pop() {
                if !used.contains(&version) {
                    deletion::delete_version(tx, (app, version), shared.clock.now())?;
                    went += 1;
                }
                if Instant::now() >= until {
                    break;
                }
            }
            let pause = pause(began.elapsed(), shared.store.waiting());
            Ok::<_, Error>(Sliced { left: Some(old), gone: went, pause })
        });
        hidden.await
    }

    async fn prune_due(self) -> Option<Timestamp> {
        let pause = match self.prune_old().await {
            Ok(Pruned { runs: 0, versions: 0 }) => self.look_every(),
            Ok(Pruned { runs, versions }) => {
                tracing::info!(runs, versions, "removed what was old");
                self.look_every()
            }
            Err(error) => {
                tracing::warn!(%error, "could not remove what is old");
                AFTER_FAILURE
            }
        };
        Some(self.0.clock.now().plus(pause))
    }

    /// From one look to the next: no longer than runs are kept here.
    fn look_every(&self) -> Duration {
        let kept = self.0.settings.retention.runs_for.unwrap_or(LOOK_EVERY);
        kept.clamp(LOOK_AT_MOST_EVERY, LOOK_EVERY)
    }

    /// Gives the due-queue the removal of what is old.
    pub(crate) fn register_retention(&self) {
        self.0.memory.retention_due.call(self.job(Self::prune_due));
        self.0.memory.retention_due.at(self.0.clock.now().plus(FIRST_LOOK.min(self.look_every())));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn while_many_wait_a_fortieth_of_the_time_is_taken_and_else_half() {
        assert_eq!(pause(SLICE, 0), SLICE);
        assert_eq!(pause(SLICE, MANY - 1), SLICE);
        assert_eq!(pause(SLICE, MANY), 39 * SLICE);
        assert_eq!(pause(100 * SLICE, 0), 2 * SLICE, "a slice that was interrupted by the disk is no longer");
    }
}
