//! Many runs at once: cancelling them, and running them again. In slices, so that no heartbeat waits for them.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use minitower_kernel::{Db, StoreError, Tx};
use minitower_teams::environments;
use minitower_teams::team::TeamPrincipal;
use minitower_vocabulary::ids::{RunId, TeamId};
use minitower_vocabulary::names;
use minitower_vocabulary::statuses::RunStatus;
use minitower_vocabulary::time::Timestamp;

use crate::domain::labels::{self, Label};
use crate::runs::{Runnable, Wanted};
use crate::store::run_lists::{self, Filter, Found};
use crate::store::{inputs, runs};
use crate::{Absent, Error, Runs, apps, deletion};

/// How long a slice takes of the writer's time, about.
const SLICE: Duration = Duration::from_millis(10);
/// Runs looked for at a time.
const PAGE: i64 = 500;
/// Most runs that one call repeats: its answer names each of them.
pub const MAX_RETRIED: usize = 1000;
/// How long a call goes on with its next page.
const LONGEST: Duration = Duration::from_secs(20);
/// Runs that may be cancelled.
const CANCELLABLE: [RunStatus; 3] = [RunStatus::Queued, RunStatus::Leased, RunStatus::Running];
/// Runs that are repeated unless the caller names a status.
const UNHAPPY: [RunStatus; 2] = [RunStatus::Failed, RunStatus::Dead];

/// Which runs are meant: those that are all of this.
#[derive(Debug, Clone, Default)]
pub struct Which {
    /// Of this app.
    pub app: Option<String>,
    /// In one of these states; none: whatever the call is for.
    pub statuses: Vec<RunStatus>,
    /// Of this environment.
    pub environment: Option<String>,
    /// With all of these labels, each `key=value`.
    pub labels: Vec<String>,
    /// Older than this one.
    pub before: Option<RunId>,
}

/// What came of a call about many runs.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Handled {
    /// How many runs it was done with.
    pub runs: u64,
    /// The runs that it made.
    pub made: Vec<RunId>,
    /// How many it had to leave out.
    pub skipped: u64,
    /// There are more: those before this one.
    pub next_before: Option<RunId>,
}

/// Runs that are looked for, newest first, page by page.
#[derive(Debug, Clone)]
struct Walk {
    team: TeamId,
    statuses: Vec<RunStatus>,
    filter: Filter,
}

impl Walk {
    /// The next page, of all states together.
    fn page(&self, db: &Db) -> Result<Vec<Found>, StoreError> {
        let mut found = Vec::new();
        for status in &self.statuses {
            // Each by its own index, and then merged: among many runs in other states it takes no longer.
            let filter = Filter { status: Some(*status), limit: PAGE, ..self.filter.clone() };
            found.extend(run_lists::ids(db, self.team, &filter)?);
        }
        found.sort_unstable_by_key(|found| std::cmp::Reverse(found.id));
        found.truncate(usize::try_from(PAGE).unwrap_or(usize::MAX));
        Ok(found)
    }
}

impl Runs {
    /// Cancels runs that have not ended: queued ones at once, held ones once their runners have heard of it. A run that is made meanwhile is
    /// not among them.
    pub async fn cancel_runs(&self, by: &TeamPrincipal, which: Which) -> Result<Handled, Error> {
        let mut walk = self.walk(by, which, &CANCELLABLE, &CANCELLABLE).await?;
        let (mut handled, until) = (Handled::default(), Instant::now() + LONGEST);
        loop {
            let page = self.next_page(&walk).await?;
            if page.is_empty() {
                return Ok(handled);
            }
            let mut rest = page.as_slice();
            while !rest.is_empty() {
                if Instant::now() >= until || self.0.stopping.is_cancelled() {
                    handled.next_before = walk.filter.before;
                    return Ok(handled);
                }
                let (ids, statuses, clock) = (rest.to_vec(), walk.statuses.clone(), self.0.clock.clone());
                let began = Instant::now();
                let slice =
                    self.0.store.write_upkeep(move |tx| cancel_some(tx, &ids, &statuses, clock.now()));
                let (seen, cancelled) = slice.await?;
                handled.runs += cancelled;
                walk.filter.before = rest[..seen].last().map(|found| found.id).or(walk.filter.before);
                rest = &rest[seen..];
                pause(began).await;
            }
        }
    }

    /// Queues runs that repeat runs which have ended and were not repeated yet. At most [`MAX_RETRIED`] of them; those that came first stay
    /// when the team reaches a limit.
    pub async fn retry_runs(&self, by: &TeamPrincipal, which: Which) -> Result<Handled, Error> {
        let ended = RunStatus::ALL.into_iter().filter(|status| status.is_terminal()).collect::<Vec<_>>();
        let mut walk = self.walk(by, which, &ended, &UNHAPPY).await?;
        walk.filter.not_repeated = true;
        let (mut handled, until) = (Handled::default(), Instant::now() + LONGEST);
        loop {
            let page = self.next_page(&walk).await?;
            if page.is_empty() {
                return Ok(handled);
            }
            let versions = Arc::new(self.versions(by.team_id, &page).await?);
            let mut rest = page.as_slice();
            while !rest.is_empty() {
                let room = MAX_RETRIED - handled.made.len();
                if room == 0 || Instant::now() >= until || self.0.stopping.is_cancelled() {
                    handled.next_before = walk.filter.before;
                    return Ok(handled);
                }
                let again = Again {
                    runs: self.clone(),
                    found: rest.to_vec(),
                    statuses: walk.statuses.clone(),
                    versions: Arc::clone(&versions),
                    room,
                };
                let clock = self.0.clock.clone();
                let began = Instant::now();
                let sliced = self.0.store.write(move |tx| again.carry_out(tx, clock.now())).await?;
                handled.runs += sliced.made.len() as u64;
                handled.skipped += sliced.skipped;
                handled.made.extend(sliced.made);
                walk.filter.before = rest[..sliced.seen].last().map(|found| found.id).or(walk.filter.before);
                rest = &rest[sliced.seen..];
                match sliced.refused {
                    None => {}
                    Some(refused) if handled.made.is_empty() => return Err(refused),
                    // The next call is refused for it.
                    Some(_) => {
                        handled.next_before = walk.filter.before;
                        return Ok(handled);
                    }
                }
                pause(began).await;
            }
        }
    }

    /// How many runs [`Runs::cancel_runs`] would look at.
    pub async fn count_cancellable(&self, by: &TeamPrincipal, which: Which) -> Result<u64, Error> {
        let walk = self.walk(by, which, &CANCELLABLE, &CANCELLABLE).await?;
        self.count(walk).await
    }

    /// How many runs [`Runs::retry_runs`] would look at.
    pub async fn count_repeatable(&self, by: &TeamPrincipal, which: Which) -> Result<u64, Error> {
        let ended = RunStatus::ALL.into_iter().filter(|status| status.is_terminal()).collect::<Vec<_>>();
        let mut walk = self.walk(by, which, &ended, &UNHAPPY).await?;
        walk.filter.not_repeated = true;
        self.count(walk).await
    }

    async fn count(&self, walk: Walk) -> Result<u64, Error> {
        self.0
            .store
            .read(move |db| {
                let mut all = 0;
                for status in &walk.statuses {
                    let filter = Filter { status: Some(*status), ..walk.filter.clone() };
                    all += run_lists::count(db, walk.team, &filter)?;
                }
                Ok(all)
            })
            .await
    }

    async fn next_page(&self, walk: &Walk) -> Result<Vec<Found>, Error> {
        let walk = walk.clone();
        self.0.store.read(move |db| Ok(walk.page(db)?)).await
    }

    /// Checks what is asked for.
    async fn walk(
        &self,
        by: &TeamPrincipal,
        which: Which,
        allowed: &[RunStatus],
        ordinary: &[RunStatus],
    ) -> Result<Walk, Error> {
        let Which { app, statuses, environment, labels, before } = which;
        if let Some(status) = statuses.iter().find(|status| !allowed.contains(status)) {
            let allowed = allowed.iter().map(|status| status.as_str()).collect::<Vec<_>>().join(", ");
            return Err(Error::StatusOfMany { status: status.as_str(), allowed });
        }
        if labels.len() > labels::MOST {
            return Err(labels::BadLabel::TooMany { found: labels.len() }.into());
        }
        if app.is_none() && statuses.is_empty() && environment.is_none() && labels.is_empty() {
            return Err(Error::AllRuns);
        }
        let labels = labels.iter().map(|text| Label::parse(text)).collect::<Result<_, _>>()?;
        if let Some(environment) = &environment {
            names::check_environment(environment)?;
        }
        let mut statuses = if statuses.is_empty() { ordinary.to_vec() } else { statuses };
        statuses.sort_unstable_by_key(|status| status.as_str());
        statuses.dedup();
        let team = by.team_id;
        let filter = self.0.store.read(move |db| {
            if let Some(name) = &environment
                && !environments::exists(db, team, name)?
            {
                return Err(Absent::Environment(name.clone()).into());
            }
            let app = app.map(|slug| apps::find(db, team, &slug)).transpose()?.map(|app| app.id);
            Ok::<_, Error>(Filter { app, environment, labels, before, ..Filter::default() })
        });
        Ok(Walk { team, statuses, filter: filter.await? })
    }

    /// The versions of these runs, by app and number; those that run no more are not among them.
    async fn versions(&self, team: TeamId, page: &[Found]) -> Result<Versions, Error> {
        let mut versions = Versions::new();
        for found in page {
            let key = (found.app.clone(), found.version);
            if versions.contains_key(&key) {
                continue;
            }
            let runnable = match self.runnable(Wanted::version(team, &found.app, found.version)).await {
                Ok(runnable) => Some(runnable),
                Err(Error::AppDisabled(_) | Error::Absent(_)) => None,
                Err(error) => return Err(error),
            };
            versions.insert(key, runnable);
        }
        Ok(versions)
    }
}

/// By app and number.
type Versions = HashMap<(String, i64), Option<Arc<Runnable>>>;

/// Half of the time is for others.
async fn pause(began: Instant) {
    tokio::time::sleep(began.elapsed().min(10 * SLICE)).await;
}

/// Cancels as many of these runs as the time allows. Answers how many it has looked at, and how many it has cancelled.
fn cancel_some(
    tx: &Tx<'_>,
    found: &[Found],
    statuses: &[RunStatus],
    now: Timestamp,
) -> Result<(usize, u64), Error> {
    let until = Instant::now() + SLICE;
    let (mut seen, mut cancelled) = (0, 0);
    for Found { id, .. } in found {
        if let Some(run) = runs::by_id(tx, *id)?.filter(|run| !run.deleted)
            // It may have moved since it was found.
            && statuses.contains(&run.status())
        {
            deletion::cancel(tx, run, now)?;
            cancelled += 1;
        }
        seen += 1;
        if Instant::now() >= until {
            break;
        }
    }
    Ok((seen, cancelled))
}

/// A slice of runs that are to be repeated.
struct Again {
    runs: Runs,
    found: Vec<Found>,
    statuses: Vec<RunStatus>,
    versions: Arc<Versions>,
    room: usize,
}

/// How far it came.
#[derive(Default)]
struct Sliced {
    seen: usize,
    made: Vec<RunId>,
    skipped: u64,
    /// Why it came no further.
    refused: Option<Error>,
}

impl Again {
    fn carry_out(self, tx: &Tx<'_>, now: Timestamp) -> Result<Sliced, Error> {
        let until = Instant::now() + SLICE;
        let mut sliced = Sliced::default();
        for found in &self.found {
            match self.one(tx, found, now) {
                Ok(Some(id)) => sliced.made.push(id),
                Ok(None) => {}
                Err(Error::AppDisabled(_) | Error::Absent(_) | Error::Field { .. }) => sliced.skipped += 1,
                Err(refused @ (Error::Reached(_) | Error::Teams(_))) => {
                    sliced.refused = Some(refused);
                    break;
                }
                Err(error) => return Err(error),
            }
            sliced.seen += 1;
            if sliced.made.len() == self.room || Instant::now() >= until {
                break;
            }
        }
        Ok(sliced)
    }

    /// None: it is no longer one of those that are meant.
    fn one(&self, tx: &Tx<'_>, found: &Found, now: Timestamp) -> Result<Option<RunId>, Error> {
        let run = runs::by_id(tx, found.id)?.filter(|run| !run.deleted);
        let Some(run) = run.filter(|run| self.statuses.contains(&run.status())) else { return Ok(None) };
        if run_lists::is_repeated(tx, run.id)? {
            return Ok(None);
        }
        let runnable = self.versions.get(&(found.app.clone(), found.version)).cloned().flatten();
        let runnable = runnable.ok_or_else(|| Error::AppDisabled(found.app.clone()))?;
        let prepared = self.runs.again(inputs::with_input(tx, run)?, runnable)?;
        prepared.checked_limits()?;
        Ok(Some(prepared.insert(tx, now)?.id))
    }
}
