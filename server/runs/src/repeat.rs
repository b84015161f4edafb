//! Running a run again: a new run of the same version and input, or with some of it changed.

mod input;

use std::sync::Arc;

use minitower_kernel::{Db, StoreError};
use minitower_teams::team::TeamPrincipal;
use minitower_vocabulary::ids::{RunId, TeamId};
use minitower_vocabulary::limits::LimitName;
use minitower_vocabulary::names;
use serde::de::DeserializeOwned;
use serde_json::{Map, Value};

use crate::domain::after::After;
use crate::domain::input::Input;
use crate::domain::labels::Labels;
use crate::domain::run::Run;
use crate::inputs::{find_whole, object};
use crate::runs::{Prepared, Runnable, Wanted, limited};
use crate::waiting::check_after;
use crate::{Absent, Created, Error, Idempotency, InputError, Runs};

/// What is other than in the run that is repeated.
#[derive(Debug, Clone, Default)]
pub struct Changes {
    /// Another input: an object, or null for none.
    pub input: Option<Value>,
    /// Another version of the app.
    pub version_no: Option<i64>,
    /// Another priority.
    pub priority: Option<i64>,
    /// Another environment.
    pub environment: Option<String>,
    /// What the new run comes after; what the first one came after has ended.
    pub after: Vec<After>,
}

impl Runs {
    /// Queues a run that repeats one that has ended, unless the same request did so under the same key within a day.
    pub async fn retry_run(
        &self,
        by: &TeamPrincipal,
        id: RunId,
        mut changes: Changes,
        once: Option<Idempotency>,
    ) -> Result<Created, Error> {
        let (team, given) = (by.team_id, Given::of(changes.input.take())?);
        if let Some(once) = &once
            && let Some(run) = self.made_before(team, once).await?
        {
            return Ok(Created::Before(run));
        }
        let first = self.0.store.read(move |db| ended(db, team, id)).await?;
        let prepared = self.repeated(first, given, changes).await?;
        if let Some(once) = once {
            return self.insert_once(team, prepared, once).await;
        }
        let clock = self.0.clock.clone();
        let run = self.0.store.write(move |tx| prepared.insert(tx, clock.now())).await?;
        Ok(Created::New(run))
    }

    /// The new run, whose parts are checked like those of any other.
    async fn repeated(&self, first: Run, given: Given, changes: Changes) -> Result<Prepared, Error> {
        let team = first.team_id;
        let version = changes.version_no.unwrap_or(first.version_number);
        let runnable = self.runnable(Wanted::version(team, &first.app_slug, version)).await?;
        let input = self.input_again(&first, given, &runnable).await?;
        let mut prepared = self.again(first, runnable)?;
        prepared.input = input;
        if let Some(priority) = changes.priority {
            prepared.priority = priority;
        }
        if let Some(environment) = changes.environment {
            names::check_environment(&environment)?;
            prepared.environment = environment;
        }
        check_after(&changes.after)?;
        prepared.after = changes.after;
        prepared.checked_limits()?;
        Ok(prepared)
    }

    /// The same run once more, of that version.
    pub(crate) fn again(&self, first: Run, runnable: Arc<Runnable>) -> Result<Prepared, Error> {
        let input = text(&first);
        Ok(Prepared {
            team: first.team_id,
            limits: self.0.teams.limits(first.team_id),
            memory: Arc::clone(&self.0.memory),
            runnable,
            environment: first.environment,
            input,
            priority: first.priority,
            max_retries: Some(first.progress.retries.max),
            policy: first.progress.policy,
            timeout_seconds: first.timeout_seconds,
            labels: Labels::parse(json(first.id, first.labels.as_deref())?.unwrap_or_default())?,
            // Of the app's own limit the newest holds.
            concurrency: first.concurrency.filter(|shared| shared.max.is_some()),
            after: Vec::new(),
            retry_of: Some(first.id),
        })
    }

    async fn input_again(
        &self,
        first: &Run,
        given: Given,
        runnable: &Arc<Runnable>,
    ) -> Result<Option<String>, Error> {
        if matches!(given, Given::Nothing) && runnable.version().id == first.version_id {
            return Ok(text(first));
        }
        let hidden: Vec<String> = json(first.id, first.hidden_parameters.as_deref())?.unwrap_or_default();
        let before = json(first.id, text(first).as_deref())?;
        let input = match given {
            Given::Nothing => input::same(before, &hidden),
            Given::Another(given) => input::changed(given, before.as_ref(), &hidden),
        };
        let hides = &runnable.version().hidden_parameters;
        if let Some(name) = input.would_show(hides) {
            let (name, version) = (name.to_owned(), runnable.version().number);
            return Err(InputError::WouldShow { name, version }.into());
        }
        self.input_text(Arc::clone(runnable), input.values).await
    }
}

impl Prepared {
    /// Refuses what the team's limits do not allow any more.
    pub(crate) fn checked_limits(&self) -> Result<(), Error> {
        let seconds = self.timeout_seconds.unwrap_or(1);
        limited("timeout_seconds", seconds, (&self.limits, LimitName::TimeoutSeconds))?;
        limited("priority", self.priority, (&self.limits, LimitName::PriorityMax))
    }
}

/// The input that a caller gives.
enum Given {
    Nothing,
    Another(Option<Map<String, Value>>),
}

impl Given {
    fn of(input: Option<Value>) -> Result<Self, Error> {
        Ok(match input {
            None => Self::Nothing,
            Some(input) => Self::Another(object(Some(input))?),
        })
    }
}

/// The run, once it has ended.
fn ended(db: &Db, team: TeamId, id: RunId) -> Result<Run, Error> {
    let run = find_whole(db, team, id).map_err(|error| match error {
        Error::Absent(Absent::Run(id)) => Absent::RunToRepeat(id).into(),
        error => error,
    })?;
    if run.status().is_terminal() { Ok(run) } else { Err(Error::NotEnded(id)) }
}

/// The input of a run that was read with it.
fn text(run: &Run) -> Option<String> {
    run.input.as_ref().and_then(Input::text).map(str::to_owned)
}

/// What is kept as JSON text with a run.
fn json<T: DeserializeOwned>(run: RunId, text: Option<&str>) -> Result<Option<T>, Error> {
    let read = text.map(serde_json::from_str).transpose();
    read.map_err(|error| StoreError::Inconsistent(format!("run {run}: {error}")).into())
}
