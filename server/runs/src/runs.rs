//! Runs as their team sees them: create, list, cancel, logs.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use crate::domain::after::{After, Verdict};
use crate::domain::app::Version;
use crate::domain::attempt::Attempt;
use crate::domain::gates::Asking;
use crate::domain::input::Input;
use crate::domain::labels::Labels;
use crate::domain::retry::{self, RetryPolicy};
use crate::domain::run::{self, Concurrency, Run, Wait};
use crate::store::{attempts, labels, runs, usage, versions};
use crate::waiting::{check_after, checked_limit, come_after, judged, shared};
use minitower_kernel::{Db, Tx};
use minitower_teams::limits::Limits;
use minitower_teams::secrets::{self, Kind};
use minitower_teams::team::{Credential, TeamPrincipal};
use minitower_teams::{Used, environments};
use minitower_vocabulary::ids::{AppId, RunId, TeamId};
use minitower_vocabulary::limits::LimitName;
use minitower_vocabulary::names::{self, DEFAULT_ENVIRONMENT};
use serde_json::Value;

use crate::{Absent, Error, Field, Memory, Runs, Summary, apps, deletion, inputs};
use minitower_kernel::page::Page;
use minitower_vocabulary::time::Timestamp;

/// Longest time that a caller may wait for the end of a run.
pub const MAX_RUN_WAIT: Duration = Duration::from_secs(60);
/// Apps with a version that are kept in memory: a few hundred active ones.
pub(crate) const RUNNABLE_KEPT: usize = 512;
/// Most bytes of schema and Towerfile of one that is kept.
const RUNNABLE_KEPT_BYTES: usize = 16 * 1024;
/// Most retries of a run.
const MAX_RETRIES: i64 = minitower_towerfile::MAX_RETRIES;

/// What a run is made of.
#[derive(Debug, Clone, Default)]
pub struct CreateRun {
    /// An object, or null.
    pub input: Option<Value>,
    /// Which version; none: the newest.
    pub version_no: Option<i64>,
    /// Higher runs first.
    pub priority: Option<i64>,
    /// How often a lost run starts again; none: the version's.
    pub max_retries: Option<i64>,
    /// What is retried, how often and after how long, instead of that.
    pub retry: Option<retry::Wanted>,
    /// Seconds it may take; none: the version's.
    pub timeout_seconds: Option<i64>,
    /// Where it runs.
    pub environment: Option<String>,
    /// What it is found by.
    pub labels: BTreeMap<String, String>,
    /// How many runs with the same key may be active at the same time; no key: the app's slug.
    pub concurrency: Option<(Option<String>, i64)>,
    /// What it comes after.
    pub after: Vec<After>,
}

/// Which version of which app a new run asks for.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct Wanted {
    team: TeamId,
    app: String,
    /// None: the newest.
    version: Option<i64>,
}

impl Wanted {
    /// That version of an app.
    pub(crate) fn version(team: TeamId, app: &str, number: i64) -> Self {
        Self { team, app: app.to_owned(), version: Some(number) }
    }
}

/// An app that takes runs, and the version asked for.
#[derive(Debug)]
pub(crate) struct Runnable {
    app: crate::domain::app::App,
    version: Version,
}

impl Runnable {
    fn read(db: &Db, wanted: &Wanted) -> Result<Self, Error> {
        let slug = &wanted.app;
        let app = apps::find(db, wanted.team, slug)?;
        if app.rules.disabled {
            return Err(Error::AppDisabled(slug.clone()));
        }
        let version = match wanted.version {
            Some(number) => versions::by_number(db, app.id, number)?
                .ok_or_else(|| Absent::Version { app: slug.clone(), number })?,
            None => versions::newest(db, app.id)?.ok_or_else(|| Error::NoVersion(slug.clone()))?,
        };
        Ok(Self { app, version })
    }

    /// Whether it is a version of that app.
    pub(crate) fn is_of(&self, app: AppId) -> bool {
        self.app.id == app
    }

    pub(crate) fn version(&self) -> &Version {
        &self.version
    }

    fn is_small(&self) -> bool {
        let texts = [&self.version.params_schema, &self.version.towerfile_toml];
        texts.into_iter().flatten().map(String::len).sum::<usize>() <= RUNNABLE_KEPT_BYTES
    }
}

/// A run whose parts are checked, and that only has to be stored.
#[derive(Debug)]
pub(crate) struct Prepared {
    pub(crate) team: TeamId,
    pub(crate) limits: Arc<Limits>,
    pub(crate) memory: Arc<Memory>,
    pub(crate) runnable: Arc<Runnable>,
    pub(crate) environment: String,
    pub(crate) input: Option<String>,
    pub(crate) priority: i64,
    pub(crate) max_retries: Option<i64>,
    pub(crate) policy: Option<RetryPolicy>,
    pub(crate) timeout_seconds: Option<i64>,
    pub(crate) labels: Labels,
    /// What it asks to share with other runs, instead of what its app and its version say.
    pub(crate) concurrency: Option<Concurrency>,
    /// What it comes after.
    pub(crate) after: Vec<After>,
    /// The run that it repeats.
    pub(crate) retry_of: Option<RunId>,
}

impl Prepared {
    /// Puts it into the queue.
    pub(crate) fn insert(self, tx: &Tx<'_>, now: Timestamp) -> Result<Run, Error> {
        let bytes =
            run::counted(self.input.as_ref().map_or(0, String::len), labels::json(&self.labels).as_deref());
        let of_team = (self.team, &*self.limits);
        self.memory.usage.admits_run(of_team, bytes, now)?;
        let Runnable { app, version } = self.runnable.as_ref();
        let rules = self.memory.gates.rules(app.id);
        if rules.disabled {
            return Err(Error::AppDisabled(app.slug.clone()));
        }
        let (environment_id, _) = environments::ensure(tx, of_team, &self.environment, now)?;
        let concurrency = shared(self.concurrency, rules, (&app.slug, version));
        let after = judged(tx, self.team, &self.after)?;
        let waits = after.iter().any(|(_, verdict, _)| *verdict != Verdict::Met);
        let (team, environment) = (self.team, self.environment.as_str());
        let wait = self.memory.gates.enter(Asking {
            team,
            app: app.id,
            environment,
            concurrency: concurrency.as_ref(),
            leaves: false,
        });
        let new = runs::NewRun {
            team: self.team,
            app: (app.id, app.slug.clone()),
            version: (version.id, version.number),
            environment: (environment_id, self.environment),
            input: self.input,
            hidden_parameters: hidden_parameters(version),
            priority: self.priority,
            max_retries: self.max_retries.unwrap_or(version.max_retries),
            policy: self.policy,
            timeout_seconds: self.timeout_seconds,
            labels: self.labels,
            concurrency,
            after: self.after,
            wait: if waits { Wait::After } else { wait },
            retry_of: self.retry_of,
        };
        // Deleted since it was found.
        let run = runs::insert(tx, new, now)?.ok_or_else(|| Absent::App(app.slug.clone()))?;
        if after.is_empty() { Ok(run) } else { Ok(come_after(tx, run, &after, now)?) }
    }
}

impl Runs {
    /// A team token of any role, or the API token of an attempt: whoever may start runs and read them.
    pub async fn authenticate(&self, token: Option<&str>) -> Result<TeamPrincipal, Error> {
        match token {
            Some(token) if secrets::is_of_kind(token, Kind::Attempt) => self.attempt_of(token).await,
            token => Ok(self.0.teams.authenticate_team(token).await?),
        }
    }

    /// Refuses the API token of an attempt on a call that it does not open, and says so as long as the token is good.
    pub async fn refuse_attempt(&self, token: Option<&str>) -> Result<(), Error> {
        match token {
            Some(token) if secrets::is_of_kind(token, Kind::Attempt) => {
                self.attempt_of(token).await?;
                Err(minitower_teams::Error::RunToken.into())
            }
            _ => Ok(()),
        }
    }

    /// The attempt whose API token this is. Not remembered: whether the attempt lasts is asked each time.
    async fn attempt_of(&self, token: &str) -> Result<TeamPrincipal, Error> {
        let (hash, now) = (secrets::hash(token), self.0.clock.now());
        let found = self.0.store.read(move |db| Ok::<_, Error>(attempts::principal(db, hash, now)?)).await?;
        let (attempt, team_id) = found.ok_or(minitower_teams::Error::Unauthorized)?;
        let slug = self.0.teams.slug(team_id).ok_or(minitower_teams::Error::Unauthorized)?;
        Ok(TeamPrincipal { team_id, team_slug: slug.to_string(), credential: Credential::Attempt(attempt) })
    }

    /// Queues a run.
    pub async fn create_run(
        &self,
        by: &TeamPrincipal,
        app_slug: String,
        new: CreateRun,
    ) -> Result<Run, Error> {
        let prepared = self.prepared(by, app_slug, new).await?;
        let clock = self.0.clock.clone();
        // The time is read inside, so that the queue's times and ids grow together.
        self.0.store.write(move |tx| prepared.insert(tx, clock.now())).await
    }

    /// A run whose parts are checked.
    pub(crate) async fn prepared(
        &self,
        by: &TeamPrincipal,
        app_slug: String,
        new: CreateRun,
    ) -> Result<Prepared, Error> {
        let input = inputs::object(new.input)?;
        let (max_retries, policy) = retries(new.max_retries, new.retry.as_ref())?;
        let (timeout_seconds, priority) = (new.timeout_seconds, new.priority.unwrap_or(0));
        if timeout_seconds.is_some_and(|n| n < 1) {
            return Err(Error::field("timeout_seconds", Field::Below { least: 1 }));
        }
        let limits = self.0.teams.limits(by.team_id);
        limited("timeout_seconds", timeout_seconds.unwrap_or(1), (&limits, LimitName::TimeoutSeconds))?;
        limited("priority", priority, (&limits, LimitName::PriorityMax))?;
        let environment = new.environment.unwrap_or_else(|| DEFAULT_ENVIRONMENT.to_owned());
        names::check_environment(&environment)?;
        let labels = Labels::parse(new.labels)?;
        let concurrency = checked_limit(new.concurrency, &app_slug)?;
        check_after(&new.after)?;

        let team = by.team_id;
        let runnable = self.runnable(Wanted { team, app: app_slug, version: new.version_no }).await?;
        let input = self.input_text(Arc::clone(&runnable), input).await?;
        let memory = Arc::clone(&self.0.memory);
        Ok(Prepared {
            team,
            limits,
            memory,
            runnable,
            environment,
            input,
            priority,
            max_retries,
            policy,
            timeout_seconds,
            labels,
            concurrency,
            after: new.after,
            retry_of: None,
        })
    }

    /// The app and the version that a new run is made of.
    pub(crate) async fn runnable(&self, wanted: Wanted) -> Result<Arc<Runnable>, Error> {
        let known = &self.0.memory.runnable;
        let ticket = match known.get(&wanted) {
            Ok(runnable) => return Ok(runnable),
            Err(ticket) => ticket,
        };
        let key = wanted.clone();
        let runnable = Arc::new(self.0.store.read(move |db| Runnable::read(db, &wanted)).await?);
        if runnable.is_small() {
            known.put(ticket, key, Arc::clone(&runnable));
        }
        Ok(runnable)
    }

    /// How much a team has used of those of its limits that this subject counts.
    pub async fn used(&self, team: TeamId) -> Result<Used, Error> {
        let now = self.0.clock.now();
        let (apps, usage) = self
            .0
            .store
            .read(move |db| {
                Ok::<_, Error>((crate::store::apps::count(db, team, i64::MAX)?, usage::of_team(db, team)?))
            })
            .await?;
        let Summary { active, queued, .. } = self.0.memory.gauges.summary(team);
        let today = if usage.day < usage::day_of(now) { 0 } else { usage.runs };
        let used = [
            (LimitName::Apps, apps),
            (LimitName::ActiveRuns, active),
            (LimitName::QueuedRuns, queued),
            (LimitName::RunsPerDay, today),
            (LimitName::StorageBytes, usage.bytes),
        ];
        Ok(used.map(|(name, n)| (name, u64::try_from(n).unwrap_or(0))).into())
    }

    /// The team's run of that id.
    pub async fn run(&self, by: &TeamPrincipal, id: RunId) -> Result<Run, Error> {
        let team = by.team_id;
        self.0.store.read(move |db| inputs::find_whole(db, team, id)).await
    }

    /// The team's run of that id as soon as it has ended, or as it is after `wait`, at most [`MAX_RUN_WAIT`].
    pub async fn run_ended(&self, by: &TeamPrincipal, id: RunId, wait: Duration) -> Result<Run, Error> {
        if wait > MAX_RUN_WAIT {
            let most = MAX_RUN_WAIT.as_secs().cast_signed();
            return Err(Error::field("wait", Field::NotBetween { least: 0, most, found: None }));
        }
        // Begun before the run is read: an end in between is not missed.
        let watch = self.0.memory.endings.watch(id);
        let run = self.run(by, id).await?;
        if wait.is_zero() || run.progress.state.end().is_some() {
            return Ok(run);
        }
        tokio::select! {
            () = watch.ended() => {}
            () = self.0.stopping.cancelled() => {}
            () = tokio::time::sleep(wait) => {}
        }
        self.run(by, id).await
    }

    /// A run's attempts, oldest first; the cursor is an attempt's number.
    pub async fn run_attempts(
        &self,
        by: &TeamPrincipal,
        id: RunId,
        page: Page<i64>,
    ) -> Result<Vec<Attempt>, Error> {
        let team = by.team_id;
        self.0
            .store
            .read(move |db| {
                find(db, team, id)?;
                Ok(attempts::list(db, id, page.cursor, page.limit)?)
            })
            .await
    }

    /// Cancels a run: a queued one at once, a held one once its runner has heard of it. Idempotent.
    pub async fn cancel_run(&self, by: &TeamPrincipal, id: RunId) -> Result<Run, Error> {
        let (team, clock) = (by.team_id, self.0.clock.clone());
        let cancelled = self.0.store.write_lease(move |tx| {
            let run = find(tx, team, id)?;
            deletion::cancel(tx, run, clock.now())
        });
        let run = cancelled.await?;
        // A large input is not read while others wait for the writer.
        if matches!(run.input, Some(Input::Apart { .. })) { self.run(by, id).await } else { Ok(run) }
    }
}

/// Refuses a number that a limit of the team does not allow. A priority may be as far below 0 as above it.
pub(crate) fn limited(
    field: &'static str,
    found: i64,
    (limits, name): (&Limits, LimitName),
) -> Result<(), Error> {
    let most = limits.count(name);
    let least = if name == LimitName::PriorityMax { -most } else { 1 };
    if (least..=most).contains(&found) {
        return Ok(());
    }
    Err(Error::field(field, Field::Beyond { name, least, most, found }))
}

/// The names of a version's hidden parameters, as runs carry them.
fn hidden_parameters(version: &Version) -> Option<String> {
    let names = &version.hidden_parameters;
    (!names.is_empty()).then(|| serde_json::json!(names).to_string())
}

pub(crate) fn find(db: &Db, team: TeamId, id: RunId) -> Result<Run, Error> {
    runs::by_id_of_team(db, team, id)?.ok_or_else(|| Absent::Run(id).into())
}

/// The retries that a caller asks for, none: the version's, and the policy that goes with them.
fn retries(
    max_retries: Option<i64>,
    wanted: Option<&retry::Wanted>,
) -> Result<(Option<i64>, Option<RetryPolicy>), Error> {
    match (max_retries, wanted) {
        (Some(_), Some(_)) => Err(Error::field(
            "max_retries",
            Field::Excludes {
                other: "retry are both given: retry.max_attempts bounds all attempts, so leave max_retries out",
            },
        )),
        (Some(n), None) if !(0..=MAX_RETRIES).contains(&n) => {
            Err(Error::field("max_retries", Field::NotBetween { least: 0, most: MAX_RETRIES, found: None }))
        }
        (max_retries, None) => Ok((max_retries, None)),
        (None, Some(wanted)) => {
            let (retries, policy) = RetryPolicy::checked(wanted)?;
            Ok((Some(retries), Some(policy)))
        }
    }
}
