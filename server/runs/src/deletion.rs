//! Deleting apps, versions and runs: hidden at once, gone in slices.
//!
//! The caller's transaction marks what is deleted, so that no list shows it, no run is made of it, and an app's slug is free. What hangs
//! on it (runs, log lines, artifacts, archives) is removed afterwards by [`Engine::purge_due`], a few rows at a time, so that nobody
//! waits for it.

use std::time::{Duration, Instant};

use minitower_kernel::{Db, StoreError, Tx};
use minitower_teams::team::TeamPrincipal;
use minitower_vocabulary::ids::RunId;
use minitower_vocabulary::time::Timestamp;

use crate::domain::lease::{self, Command};
use crate::domain::run::Run;
use crate::leases::{held, save_held};
use crate::store::deletion::{self, Deleted, Deletion};
use crate::store::{attempts, runs, versions};
use crate::{Absent, Apps, Engine, Error, Runs, apps};

/// How long a slice takes of the writer's time, about.
const SLICE: Duration = Duration::from_millis(10);
/// Runs looked at in one slice.
const RUNS: i64 = 50;
/// Deletions of each kind looked at in one round.
const DELETIONS: i64 = 1000;
/// When runs that have not ended yet are looked at again.
const WAIT: Duration = Duration::from_secs(5);
/// Pause after a failed round.
const AFTER_FAILURE: Duration = Duration::from_secs(5);

/// Whether runs that have not ended are in the way of a deletion.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unfinished {
    /// They are: nothing is deleted.
    Keep,
    /// They are cancelled, and deleted when they have ended.
    Cancel,
}

impl Apps {
    /// Deletes an app with its versions and runs.
    pub async fn delete_app(
        &self,
        by: &TeamPrincipal,
        slug: String,
        unfinished: Unfinished,
    ) -> Result<(), Error> {
        let (now, team) = (self.0.clock.now(), by.team_id);
        let deleted = self.0.store.write_upkeep(move |tx| {
            let app = apps::find(tx, team, &slug)?;
            let active = deletion::unfinished_of_app(tx, (team, app.id))?;
            if active > 0 && unfinished == Unfinished::Keep {
                return Err(Error::UnfinishedRuns { what: format!("the app {slug:?}") });
            }
            Ok(deletion::delete_app(tx, app.id, unfinished == Unfinished::Cancel, now)?)
        });
        deleted.await?;
        self.0.memory.deletions_due.at(now);
        Ok(())
    }

    /// Deletes a version with its runs.
    pub async fn delete_version(
        &self,
        by: &TeamPrincipal,
        slug: String,
        number: i64,
        unfinished: Unfinished,
    ) -> Result<(), Error> {
        let (now, team) = (self.0.clock.now(), by.team_id);
        let version = self.version(by, slug.clone(), number).await?;
        let is_unfinished =
            self.0.store.read(move |db| deletion::is_any_unfinished_of_version(db, team, version.id));
        if unfinished == Unfinished::Keep && is_unfinished.await? {
            return Err(Error::UnfinishedRuns { what: format!("version {number} of {slug:?}") });
        }
        // A run that is made of it right now goes on, and is deleted when it has ended.
        let deleted = self.0.store.write_upkeep(move |tx| {
            let app = apps::find(tx, team, &slug)?;
            let version =
                versions::by_number(tx, app.id, number)?.ok_or(Absent::Version { app: slug, number })?;
            let cancels = unfinished == Unfinished::Cancel;
            Ok::<_, Error>(deletion::delete_version(tx, (app.id, version.id), cancels, now)?)
        });
        deleted.await?;
        self.0.memory.deletions_due.at(now);
        Ok(())
    }
}

impl Runs {
    /// Deletes a run with its log and what it left behind.
    pub async fn delete_run(
        &self,
        by: &TeamPrincipal,
        id: RunId,
        unfinished: Unfinished,
    ) -> Result<(), Error> {
        let (now, team) = (self.0.clock.now(), by.team_id);
        let deleted = self.0.store.write_lease(move |tx| {
            let run = crate::runs::find(tx, team, id)?;
            if !run.status().is_terminal() && unfinished == Unfinished::Keep {
                return Err(Error::UnfinishedRuns { what: format!("run {id}") });
            }
            deletion::delete_run(tx, id, now)?;
            cancel(tx, run, now)?;
            Ok(())
        });
        deleted.await?;
        self.0.memory.deletions_due.at(now);
        Ok(())
    }
}

/// Cancels a run: a queued one at once, a held one once its runner has heard of it; one that has ended stays as it is.
pub(crate) fn cancel(tx: &Tx<'_>, run: Run, now: Timestamp) -> Result<Run, Error> {
    let id = run.id;
    if !run.status().is_active() {
        let after = lease::cancel_unheld(run.progress.clone(), now)
            .map_err(|illegal| StoreError::Inconsistent(format!("run {id}: {illegal}")))?;
        return Ok(runs::save(tx, run, after, None)?);
    }
    let attempt = attempts::active_of_run(tx, id)?
        .ok_or_else(|| StoreError::Inconsistent(format!("run {id} is active without an attempt")))?;
    let after = lease::decide(held(&run, &attempt), Command::Cancel, now)?;
    let (run, _) = save_held(tx, run, attempt, after)?;
    Ok(run)
}

/// How far a slice came with the runs that it was given.
#[derive(Debug, Default)]
struct Sliced {
    /// The number of the last run that it is done with.
    after: Option<i64>,
    /// Whether a run has not ended, and is left for later.
    left: bool,
    /// Files that may be named by no row any more.
    hashes: Vec<String>,
}

impl Engine {
    /// Removes what was deleted, in slices. Answers when to look again: as long as runs that have not ended are left.
    pub(crate) async fn purge_due(self) -> Option<Timestamp> {
        match self.purge().await {
            Ok(true) => None,
            Ok(false) => Some(self.0.clock.now().plus(WAIT)),
            Err(error) => {
                tracing::warn!(%error, "could not remove what was deleted");
                Some(self.0.clock.now().plus(AFTER_FAILURE))
            }
        }
    }

    /// True: nothing is left that was deleted.
    async fn purge(&self) -> Result<bool, Error> {
        loop {
            let pending = self.0.store.read(|db| Ok::<_, Error>(deletion::pending(db, DELETIONS)?)).await?;
            let mut removed = false;
            for deletion in &pending {
                removed |= self.purge_one(*deletion).await?;
            }
            // Whatever is left waits for its runs.
            if !removed {
                return Ok(pending.is_empty());
            }
        }
    }

    /// True: it is gone.
    async fn purge_one(&self, deletion: Deletion) -> Result<bool, Error> {
        let (mut after, mut left) = (0, false);
        loop {
            if self.0.stopping.is_cancelled() {
                return Ok(false);
            }
            // Looked for on a read connection: among many runs of other versions it takes a while.
            let found = move |db: &Db| Ok::<_, Error>(deletion::runs_of(db, deletion.what, after, RUNS)?);
            let page = self.0.store.read(found).await?;
            let (last, began) = (page.is_empty(), Instant::now());
            if last && left {
                return Ok(false);
            }
            let clock = self.0.clock.clone();
            let written = self.0.store.write_upkeep(move |tx| {
                if last {
                    finish(tx, deletion.what, clock.now())
                } else {
                    slice(tx, page, deletion, clock.now())
                }
            });
            let sliced = written.await?;
            left |= sliced.left;
            after = sliced.after.unwrap_or(after);
            let more_versions = !sliced.hashes.is_empty() && matches!(deletion.what, Deleted::App(_));
            for hash in sliced.hashes {
                self.0.forget_if_unused(hash).await;
            }
            if last && !more_versions {
                return Ok(true);
            }
            // Half of the time is for others.
            tokio::time::sleep(began.elapsed().min(10 * SLICE)).await;
        }
    }
}

/// Removes as many of these runs as the time allows.
fn slice(tx: &Tx<'_>, page: Vec<(RunId, i64)>, deletion: Deletion, now: Timestamp) -> Result<Sliced, Error> {
    let until = Instant::now() + SLICE;
    let mut sliced = Sliced::default();
    for (id, number) in page {
        if let Some(mut run) = runs::by_id(tx, id)? {
            if deletion.cancels && !run.status().is_terminal() {
                run = cancel(tx, run, now)?;
            }
            if run.status().is_terminal() {
                while deletion::remove_lines(tx, &run)? {
                    if Instant::now() >= until {
                        return Ok(sliced);
                    }
                }
                sliced.hashes.extend(deletion::remove_run(tx, &run)?);
            } else {
                sliced.left = true;
            }
        }
        sliced.after = Some(number);
        if Instant::now() >= until {
            break;
        }
    }
    Ok(sliced)
}

/// Its runs are gone: so goes the rest.
fn finish(tx: &Tx<'_>, what: Deleted, now: Timestamp) -> Result<Sliced, Error> {
    let hashes = match what {
        Deleted::Run(_) => Vec::new(),
        Deleted::Version(_, version) => deletion::purge_version(tx, version, now)?.into_iter().collect(),
        Deleted::App(app) => {
            let hashes = deletion::remove_versions(tx, app, RUNS)?;
            if hashes.is_empty() {
                deletion::remove_app(tx, app)?;
            }
            hashes
        }
    };
    Ok(Sliced { hashes, ..Sliced::default() })
}
