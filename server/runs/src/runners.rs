//! Runners: registration, and forgetting those that are silent.

use std::collections::BTreeMap;

use crate::domain::runner::{FenceHolder, HeldBy, Origin, RunnerScope};
use crate::store::fences;
use crate::store::runners::{self, Registration};
use minitower_teams::pool::Registering;
use minitower_teams::{Registrar, RegistrationPrincipal, Used, environments};
use minitower_vocabulary::ids::{RunnerId, TeamId};
use minitower_vocabulary::limits::LimitName;
use minitower_vocabulary::names::{self, DEFAULT_ENVIRONMENT};

use crate::{Error, Field, Runners};
use minitower_teams::secrets::{self, Kind};

/// Longest name of a pool, and longest key and value of a label.
const MAX_LABEL_BYTES: usize = 253;
/// Most bytes of a runner's labels as JSON: a list has ten thousand runners.
const LABELS_BYTES: usize = 512;
/// Most labels.
const MAX_LABELS: usize = 64;
/// Runners forgotten in one transaction.
const PRUNE_BATCH: u32 = 10;
/// Most of those transactions in a row. Pods come and go by thousands; the next round of upkeep goes on where this one ends.
const PRUNE_BATCHES: usize = 100;

/// What a runner says of itself.
#[derive(Debug, Clone, Default)]
pub struct Register {
    /// Its name.
    pub name: String,
    /// Which environment's runs it serves.
    pub environment: Option<String>,
    /// The pool it belongs to.
    pub pool: Option<String>,
    /// Free labels.
    pub labels: BTreeMap<String, String>,
}

/// A registered runner and its token, shown once.
pub struct Registered {
    /// Its id.
    pub id: RunnerId,
    /// Its name.
    pub name: String,
    /// Its token; the former one is dead.
    pub token: String,
    /// Whose runs it takes.
    pub scope: RunnerScope,
    /// False: the name was registered before.
    pub created: bool,
}

impl Runners {
    /// Registers a runner, new or again.
    pub async fn register_runner(
        &self,
        by: RegistrationPrincipal,
        new: Register,
    ) -> Result<Registered, Error> {
        let teams = self.0.teams.clone();
        teams.admit_registration(by)?;
        names::check_runner(&new.name)?;
        let environment =
            new.environment.filter(|e| !e.is_empty()).unwrap_or_else(|| DEFAULT_ENVIRONMENT.to_owned());
        names::check_environment(&environment)?;
        let pool = new.pool.filter(|p| !p.is_empty());
        if let Some(pool) = &pool {
            names::check_line(pool, MAX_LABEL_BYTES)
                .map_err(|problem| Error::field("pool", Field::Text(problem)))?;
        }
        check_labels(&new.labels).map_err(|problem| Error::field("labels", problem))?;
        let labels = (!new.labels.is_empty()).then(|| serde_json::json!(new.labels).to_string());
        if let Some(found) = labels.as_ref().map(String::len).filter(|bytes| *bytes > LABELS_BYTES) {
            let way_out = "leave some out or shorten them";
            return Err(Error::field("labels", Field::Json { found, most: LABELS_BYTES, way_out }));
        }
        let (token, token_hash) = secrets::generate(Kind::Runner)?;
        let now = self.0.clock.now();
        let name = new.name.clone();
        let scope = match by.registrar {
            Registrar::Platform => RunnerScope::Platform,
            Registrar::Team(team) => RunnerScope::Team(team),
        };
        let (id, created) = self
            .0
            .store
            .write(move |tx| {
                let of = Registering { name: &new.name, environment: &environment, pool: pool.as_deref() };
                by.used(tx, &of, now)?;
                if let RunnerScope::Team(team) = scope {
                    environments::ensure(tx, (team, &teams.limits(team)), &environment, now)?;
                }
                // A name that the operator has fenced in advance is that of a pod to come: no team's, unless its pool is the team's.
                if scope != RunnerScope::Platform
                    && !by.is_of_pool()
                    && fences::is_held(tx, &new.name, FenceHolder::Operator)?
                    && runners::by_name(tx, &new.name)?.is_none()
                {
                    return Err(Error::RunnerNameHeld { name: new.name, by: HeldBy::Platform });
                }
                let origin = Origin { scope, pool, bound: by.is_of_pool() };
                let registration = runners::New { name: new.name, origin, environment, labels, token_hash };
                match runners::register(tx, &registration, now)? {
                    Registration::Made { id, created } => {
                        if let RunnerScope::Team(team) = scope
                            && created
                        {
                            let limits = teams.limits(team);
                            let most = limits.count(LimitName::Runners).saturating_add(1);
                            // This one is among them: if there are too many, nothing of it stays.
                            let before = runners::count(tx, team, most)?.unsigned_abs().saturating_sub(1);
                            limits.take(LimitName::Runners, before)?;
                        }
                        Ok((id, created))
                    }
                    Registration::Held(by) => Err(Error::RunnerNameHeld { name: registration.name, by }),
                }
            })
            .await
            .inspect_err(|error: &Error| {
                if matches!(error, Error::RunnerNameHeld { .. }) {
                    tracing::warn!(error = error as &dyn std::error::Error, "a runner may not register");
                }
            })?;
        Ok(Registered { id, name, token, scope, created })
    }

    /// How much a team has used of those of its limits that are about runners.
    pub async fn used(&self, team: TeamId) -> Result<Used, Error> {
        let count = self.0.store.read(move |db| Ok::<_, Error>(runners::count(db, team, i64::MAX)?)).await?;
        Ok(vec![(LimitName::Runners, count.unsigned_abs())])
    }

    /// Forgets runners that were silent for too long and hold nothing.
    pub(crate) async fn prune(&self) -> Result<usize, Error> {
        let mut forgotten = 0;
        for _ in 0..PRUNE_BATCHES {
            let batch = self.prune_batch().await?;
            forgotten += batch;
            if batch < PRUNE_BATCH as usize {
                break;
            }
        }
        Ok(forgotten)
    }

    async fn prune_batch(&self) -> Result<usize, Error> {
        let Some(after) = self.0.settings.runner_prune_after else { return Ok(0) };
        let before = minitower_vocabulary::time::Timestamp(
            self.0.clock.now().0.saturating_sub(i64::try_from(after.as_millis()).unwrap_or(i64::MAX)),
        );
        let silent = self
            .0
            .store
            .read(move |db| Ok::<_, Error>(runners::silent_since(db, before, PRUNE_BATCH)?))
            .await?;
        // What the database has of their last sight may lag behind the memory.
        let presence = &self.0.memory.presence;
        let gone: Vec<RunnerId> = silent.into_iter().filter(|id| !presence.seen_after(*id, before)).collect();
        if gone.is_empty() {
            return Ok(0);
        }
        let forgotten = gone.len();
        self.0
            .store
            .write_upkeep(move |tx| {
                // One may have been leased to since: its attempt needs it.
                let still_silent = runners::silent_since(tx, before, PRUNE_BATCH)?;
                let gone: Vec<RunnerId> = gone.into_iter().filter(|id| still_silent.contains(id)).collect();
                runners::delete(tx, &gone, None)?;
                Ok::<_, Error>(())
            })
            .await?;
        Ok(forgotten)
    }
}

fn check_labels(labels: &BTreeMap<String, String>) -> Result<(), Field> {
    if labels.len() > MAX_LABELS {
        return Err(Field::Labels { found: labels.len(), most: MAX_LABELS });
    }
    for (key, value) in labels {
        names::check_line(key, MAX_LABEL_BYTES).map_err(Field::LabelKey)?;
        // A value may be empty.
        if !value.is_empty() {
            names::check_line(value, MAX_LABEL_BYTES)
                .map_err(|problem| Field::LabelValue { key: key.clone(), problem })?;
        }
    }
    Ok(())
}
