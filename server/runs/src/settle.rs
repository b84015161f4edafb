//! Looks again at what runs wait for: a place under their key, their app, other runs.
//!
//! The commits say what changed ([`crate::gates::Unsettled`]); this looks at the database and decides anew, so it may look as often as it
//! likes, and after a restart it looks at everything. Until it has looked, a claim refuses by itself what may not start.

use std::sync::Arc;
use std::time::{Duration, Instant};

use minitower_kernel::{Db, Tx};
use minitower_vocabulary::ids::{AppId, RunId, TeamId};
use minitower_vocabulary::time::Timestamp;

use crate::domain::after::{self, Verdict};
use crate::domain::run::{Run, Wait};
use crate::gates::{Gates, Work, keep};
use crate::store::{apps, dependencies, gates, runs};
use crate::{Engine, Error, deletion};

/// How long a slice takes of the writer's time, about.
const SLICE: Duration = Duration::from_millis(10);
/// Runs looked at in one slice.
const RUNS: i64 = 100;
/// Pause after a failed round.
const AFTER_FAILURE: Duration = Duration::from_secs(1);

/// Whether a slice was the last one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Left {
    More,
    Nothing,
}

impl Engine {
    /// Looks at what changed since the last time. Called once at the start, it first finds what the last stop left.
    pub(crate) async fn settle_due(self) -> Option<Timestamp> {
        loop {
            let work = self.0.memory.unsettled.take();
            if work.is_empty() || self.0.stopping.is_cancelled() {
                return None;
            }
            if let Err(error) = self.settle(&work).await {
                tracing::warn!(%error, "could not look at what runs wait for");
                self.0.memory.unsettled.add(work);
                return Some(self.0.clock.now().plus(AFTER_FAILURE));
            }
        }
    }

    /// Notes what the last stop may have left undone: everything that runs wait for.
    pub(crate) async fn unsettle_all(&self) -> Result<(), Error> {
        let read = |db: &Db| {
            let mut work = Work::default();
            for held in gates::held(db)? {
                work.keys.insert((held.team, held.key));
            }
            work.apps.extend(gates::apps_that_hold(db)?);
            work.apps.extend(apps::ruled(db)?.iter().filter(|app| app.rules.disabled).map(|app| app.id));
            let mut from = RunId(0);
            loop {
                let ended = dependencies::ended(db, from, RUNS)?;
                let Some(last) = ended.last() else { return Ok::<_, Error>(work) };
                from = *last;
                work.ended.extend(ended);
            }
        };
        let work = self.0.store.read(read).await?;
        self.0.memory.unsettled.add(work);
        Ok(())
    }

    async fn settle(&self, work: &Work) -> Result<(), Error> {
        let Work { keys, teams, apps, ended } = work;
        for (team, key) in keys {
            self.settle_key(*team, key).await?;
        }
        for app in apps {
            self.settle_app(*app).await?;
        }
        for team in teams {
            let (team, memory) = (*team, Arc::clone(&self.0.memory));
            let keys =
                self.0.store.write_lease(move |_| Ok::<_, Error>(memory.gates.waiting_keys(team))).await?;
            for key in keys {
                self.settle_key(team, &key).await?;
            }
        }
        for run in ended {
            self.settle_dependents(*run).await?;
        }
        Ok(())
    }

    /// Makes runs ready for which a place is free under their key.
    async fn settle_key(&self, team: TeamId, key: &str) -> Result<(), Error> {
        loop {
            let (key, memory, clock) = (key.to_owned(), Arc::clone(&self.0.memory), self.0.clock.clone());
            let slice = move |tx: &Tx<'_>| fill(tx, &memory.gates, (team, &key), clock.now());
            if self.0.store.write_lease(slice).await? == Left::Nothing {
                return Ok(());
            }
        }
    }

    /// Holds the runs of an app that is disabled, or lets those of one that is not go on.
    async fn settle_app(&self, app: AppId) -> Result<(), Error> {
        let mut seen = RunId(0);
        loop {
            let began = Instant::now();
            let after = seen;
            // Looked for on a read connection: among many runs of other apps it takes a while.
            let page = self.0.store.read(move |db| {
                let Some(team) = apps::team_of_disabled(db, app)? else { return Ok(None) };
                Ok::<_, Error>(Some(gates::queued_of_app(db, (team, app), after, RUNS)?))
            });
            let (memory, clock) = (Arc::clone(&self.0.memory), self.0.clock.clone());
            match page.await? {
                Some(page) if page.is_empty() => return Ok(()),
                Some(page) => {
                    let slice = move |tx: &Tx<'_>| hold(tx, &memory.gates, page);
                    seen = self.0.store.write_upkeep(slice).await?.unwrap_or(seen);
                }
                None => {
                    let slice = move |tx: &Tx<'_>| let_go(tx, &memory.gates, app, clock.now());
                    if self.0.store.write_upkeep(slice).await? == Left::Nothing {
                        return Ok(());
                    }
                }
            }
            // Half of the time is for others.
            tokio::time::sleep(began.elapsed().min(10 * SLICE)).await;
        }
    }

    /// Looks at the runs that come after one that has ended.
    async fn settle_dependents(&self, other: RunId) -> Result<(), Error> {
        loop {
            let began = Instant::now();
            let (memory, clock) = (Arc::clone(&self.0.memory), self.0.clock.clone());
            let slice = move |tx: &Tx<'_>| release_dependents(tx, &memory.gates, other, clock.now());
            if self.0.store.write_upkeep(slice).await? == Left::Nothing {
                return Ok(());
            }
            tokio::time::sleep(began.elapsed().min(10 * SLICE)).await;
        }
    }
}

/// The first runs of a key that wait, as long as there is a place for the next one.
fn fill(tx: &Tx<'_>, gates: &Gates, (team, key): (TeamId, &str), now: Timestamp) -> Result<Left, Error> {
    let until = Instant::now() + SLICE;
    for environment in gates.waiting(team, key) {
        while let Some(first) = gates::first_of_key(tx, team, key, &environment)? {
            if first.deleted {
                deletion::cancel(tx, first, now)?;
            } else {
                let wait = gates.next(&first);
                if wait == Wait::Limit {
                    break;
                }
                keep(tx, first, wait)?;
            }
            if Instant::now() >= until {
                return Ok(Left::More);
            }
        }
    }
    Ok(Left::Nothing)
}

/// Holds runs whose app is disabled. Answers the last one that it looked at.
fn hold(tx: &Tx<'_>, gates: &Gates, page: Vec<RunId>) -> Result<Option<RunId>, Error> {
    let until = Instant::now() + SLICE;
    let mut seen = None;
    for id in page {
        if let Some(run) = runs::by_id(tx, id)?
            && matches!(run.progress.state.wait(), Some(Wait::Nothing | Wait::Limit))
            && gates.rules(run.app_id).disabled
        {
            keep(tx, run, Wait::Disabled)?;
        }
        seen = Some(id);
        if Instant::now() >= until {
            break;
        }
    }
    Ok(seen)
}

/// Lets the first runs of an app that was enabled go on.
fn let_go(tx: &Tx<'_>, gates: &Gates, app: AppId, now: Timestamp) -> Result<Left, Error> {
    let until = Instant::now() + SLICE;
    for _ in 0..RUNS {
        // Disabled again meanwhile: whoever did that has it looked at once more.
        if gates.rules(app).disabled {
            return Ok(Left::Nothing);
        }
        let Some(run) = gates::first_of_disabled(tx, app)? else { return Ok(Left::Nothing) };
        if run.deleted {
            deletion::cancel(tx, run, now)?;
        } else {
            let wait = gates.enter(crate::gates::asking(&run));
            keep(tx, run, wait)?;
        }
        if Instant::now() >= until {
            break;
        }
    }
    Ok(Left::More)
}

/// Judges runs that come after one that has ended: ready, or cancelled because it did not come to what they wait for.
fn release_dependents(tx: &Tx<'_>, gates: &Gates, other: RunId, now: Timestamp) -> Result<Left, Error> {
    let until = Instant::now() + SLICE;
    let waiting = dependencies::waiting_for(tx, other, RUNS)?;
    if waiting.is_empty() {
        return Ok(Left::Nothing);
    }
    for id in waiting {
        match runs::by_id(tx, id)? {
            Some(run) if run.progress.state.wait() == Some(Wait::After) => judge(tx, gates, run, now)?,
            // Cancelled while it waited.
            Some(_) | None => dependencies::settle(tx, id)?,
        }
        if Instant::now() >= until {
            break;
        }
    }
    Ok(Left::More)
}

/// Judges everything that a run still waits for.
fn judge(tx: &Tx<'_>, gates: &Gates, run: Run, now: Timestamp) -> Result<(), Error> {
    let mut open = false;
    for (after, status) in dependencies::unmet(tx, run.id)? {
        match after.judge(status) {
            Verdict::Met => dependencies::meet(tx, run.id, after.run)?,
            Verdict::Open => open = true,
            Verdict::Never => {
                dependencies::settle(tx, run.id)?;
                let given_up = after::give_up(run.progress.clone(), after.never(status), now);
                runs::save(tx, run, given_up, None)?;
                return Ok(());
            }
        }
    }
    if !open {
        let wait = gates.enter(crate::gates::asking(&run));
        keep(tx, run, wait)?;
    }
    Ok(())
}
