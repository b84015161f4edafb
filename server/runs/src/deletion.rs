//! Deleting apps, versions and runs: hidden at once, gone in slices.
//!
//! The caller's transaction marks what is deleted, so that no list shows it, no run is made of it, and an app's slug is free. What hangs
//! on it (runs, log lines, artifacts, archives) is removed afterwards by [`Engine::purge_due`], a few rows at a time, so that nobody
//! waits for it.

use std::collections::{BTreeMap, HashSet, VecDeque};
use std::time::{Duration, Instant};

use minitower_kernel::{Db, StoreError, Tx};
use minitower_teams::team::TeamPrincipal;
use minitower_vocabulary::ids::{RunId, TeamId};
use minitower_vocabulary::time::Timestamp;

use crate::domain::lease::{self, Command};
use crate::domain::run::Run;
use crate::leases::{held, save_both};
use crate::store::deletion::{self, Deleted};
use crate::store::{attempts, runs, versions};
use crate::{Absent, Apps, Engine, Error, Runs, apps};

/// How long a slice takes of the writer's time, about.
const SLICE: Duration = Duration::from_millis(10);
/// Runs looked at in one slice.
const RUNS: i64 = 50;
/// Deletions read at a time.
const DELETIONS: i64 = 1000;
/// How often those that came meanwhile are looked for.
const LOOK_AGAIN: Duration = Duration::from_secs(1);
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
        let team = by.team_id;
        let what = move |slug: &str| format!("the app {slug:?}");
        let name = slug.clone();
        let seen = self.0.store.read(move |db| {
            let app = apps::find(db, team, &name)?;
            if unfinished == Unfinished::Keep && deletion::is_any_unfinished_of_app(db, (team, app.id))? {
                return Err(Error::UnfinishedRuns { what: what(&name) });
            }
            Ok((app.id, deletion::newest_run_no(db, app.id)?))
        });
        let (app, last) = seen.await?;
        let now = self.0.clock.now();
        let deleted = self.0.store.write_upkeep(move |tx| {
            if apps::find(tx, team, &slug)?.id != app {
                return Err(Absent::App(slug).into());
            }
            // What was made since the look above.
            if unfinished == Unfinished::Keep && deletion::is_any_unfinished_after(tx, app, None, last)? {
                return Err(Error::UnfinishedRuns { what: what(&slug) });
            }
            Ok(deletion::delete_app(tx, app, now)?)
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
        let team = by.team_id;
        let what = move |slug: &str| format!("version {number} of {slug:?}");
        let find = move |db: &Db, slug: &str| -> Result<_, Error> {
            let app = apps::find(db, team, slug)?;
            let version = versions::by_number(db, app.id, number)?
                .ok_or_else(|| Absent::Version { app: slug.to_owned(), number })?;
            Ok((app.id, version.id))
        };
        let name = slug.clone();
        // Among many runs that have not ended it takes a while, so it is looked for on a read connection.
        let seen = self.0.store.read(move |db| {
            let (app, version) = find(db, &name)?;
            if unfinished == Unfinished::Keep && deletion::is_any_unfinished_of_version(db, team, version)? {
                return Err(Error::UnfinishedRuns { what: what(&name) });
            }
            Ok((version, deletion::newest_run_no(db, app)?))
        });
        let (version, last) = seen.await?;
        let now = self.0.clock.now();
        let deleted = self.0.store.write_upkeep(move |tx| {
            let (app, found) = find(tx, &slug)?;
            if found != version {
                return Err(Absent::Version { app: slug, number }.into());
            }
            // What was made since the look above.
            let only = Some(version);
            if unfinished == Unfinished::Keep && deletion::is_any_unfinished_after(tx, app, only, last)? {
                return Err(Error::UnfinishedRuns { what: what(&slug) });
            }
            Ok::<_, Error>(deletion::delete_version(tx, (app, version), now)?)
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
                return Err(Error::UnfinishedRun(id));
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
    let (run, _) = save_both(tx, (run, attempt), after)?;
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

/// A deletion that is under way.
#[derive(Debug, Clone, Copy)]
struct Walk {
    what: Deleted,
    /// The number of the last run that was looked at.
    after: i64,
    /// Whether one before has not ended.
    left: bool,
}

/// What comes of a slice.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Next {
    /// There is more to remove.
    More,
    /// Runs that have not ended are left.
    Waits,
    /// It is gone.
    Gone,
}

impl Engine {
    /// Removes what was deleted, in slices. Answers when to look again: as long as runs that have not ended are left.
    pub(crate) async fn purge_due(self) -> Option<Timestamp> {
        let hidden = &self.0.memory.hidden;
        let made = hidden.made();
        match self.purge().await {
            Ok(true) => {
                hidden.gone(made);
                None
            }
            Ok(false) => Some(self.0.clock.now().plus(WAIT)),
            Err(error) => {
                tracing::warn!(%error, "could not remove what was deleted");
                Some(self.0.clock.now().plus(AFTER_FAILURE))
            }
        }
    }

    /// True: nothing is left that was deleted. The teams take turns, so that nobody's deletion waits for that of another team.
    async fn purge(&self) -> Result<bool, Error> {
        let mut teams: BTreeMap<TeamId, VecDeque<Walk>> = BTreeMap::new();
        let (mut known, mut looked) = (HashSet::new(), None);
        let mut waits = false;
        loop {
            // What is deleted meanwhile joins in.
            if looked.is_none_or(|at: Instant| at.elapsed() >= LOOK_AGAIN) {
                for (team, what) in self.pending().await? {
                    if known.insert(what) {
                        teams.entry(team).or_default().push_back(Walk { what, after: 0, left: false });
                    }
                }
                looked = Some(Instant::now());
            }
            if teams.is_empty() {
                return Ok(!waits);
            }
            for walks in teams.values_mut() {
                let Some(walk) = walks.front_mut() else { continue };
                if self.0.stopping.is_cancelled() {
                    return Ok(false);
                }
                let next = self.purge_some(walk).await?;
                if next != Next::More {
                    walks.pop_front();
                }
                waits |= next == Next::Waits;
            }
            teams.retain(|_, walks| !walks.is_empty());
        }
    }

    /// Everything that was deleted and is not gone yet.
    async fn pending(&self) -> Result<Vec<(TeamId, Deleted)>, Error> {
        let mut all: Vec<(TeamId, Deleted)> = Vec::new();
        loop {
            let after = all.last().map(|(_, what)| *what);
            let read = move |db: &Db| Ok::<_, Error>(deletion::pending(db, after, DELETIONS)?);
            let page = self.0.store.read(read).await?;
            if page.is_empty() {
                return Ok(all);
            }
            all.extend(page);
        }
    }

    /// Removes a slice.
    async fn purge_some(&self, walk: &mut Walk) -> Result<Next, Error> {
        let (what, after) = (walk.what, walk.after);
        // Looked for on a read connection: among many runs of other versions it takes a while.
        let found = move |db: &Db| Ok::<_, Error>(deletion::runs_of(db, what, after, RUNS)?);
        let page = self.0.store.read(found).await?;
        let (last, began) = (page.is_empty(), Instant::now());
        if last && walk.left {
            return Ok(Next::Waits);
        }
        let clock = self.0.clock.clone();
        let written = self.0.store.write_upkeep(move |tx| {
            if last { finish(tx, what, clock.now()) } else { slice(tx, page, clock.now()) }
        });
        let sliced = written.await?;
        walk.left |= sliced.left;
        walk.after = sliced.after.unwrap_or(walk.after);
        let more_versions = !sliced.hashes.is_empty() && matches!(what, Deleted::App(_));
        for hash in sliced.hashes {
            self.0.forget_if_unused(hash).await;
        }
        // Half of the time is for others.
        tokio::time::sleep(began.elapsed().min(10 * SLICE)).await;
        Ok(if last && !more_versions { Next::Gone } else { Next::More })
    }
}

/// Removes as many of these runs as the time allows; those that have not ended are cancelled.
fn slice(tx: &Tx<'_>, page: Vec<(RunId, i64)>, now: Timestamp) -> Result<Sliced, Error> {
    let until = Instant::now() + SLICE;
    let mut sliced = Sliced::default();
    for (id, number) in page {
        if let Some(run) = runs::by_id(tx, id)? {
            let run = cancel(tx, run, now)?;
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
