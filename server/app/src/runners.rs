//! Runners: registration, and forgetting those that are silent.

use std::collections::BTreeMap;

use minitower_domain::ids::RunnerId;
use minitower_domain::names::{self, DEFAULT_ENVIRONMENT};
use minitower_domain::runner::RunnerScope;
use minitower_planted::{Bug, planted};
use minitower_store::{environments, registration_tokens, runners};

use crate::auth::RegistrationPrincipal;
use crate::secrets::{self, Kind};
use crate::teams::taken;
use crate::{App, Error};

/// Longest name of a pool, and longest key and value of a label.
const MAX_LABEL_BYTES: usize = 253;
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

impl App {
    /// Registers a runner, new or again.
    pub async fn register_runner(
        &self,
        by: RegistrationPrincipal,
        new: Register,
    ) -> Result<Registered, Error> {
        names::check_runner(&new.name)?;
        let environment =
            new.environment.filter(|e| !e.is_empty()).unwrap_or_else(|| DEFAULT_ENVIRONMENT.to_owned());
        names::check_environment(&environment)?;
        let pool = new.pool.filter(|p| !p.is_empty());
        if pool.as_ref().is_some_and(|p| p.len() > MAX_LABEL_BYTES) {
            return Err(Error::invalid(format!("pool is longer than {MAX_LABEL_BYTES} bytes")));
        }
        if new.labels.len() > MAX_LABELS
            || new.labels.iter().any(|(k, v)| k.len() > MAX_LABEL_BYTES || v.len() > MAX_LABEL_BYTES)
        {
            return Err(Error::invalid(format!(
                "labels: at most {MAX_LABELS}, keys and values of at most {MAX_LABEL_BYTES} bytes"
            )));
        }
        let labels = (!new.labels.is_empty()).then(|| serde_json::json!(new.labels).to_string());
        let (token, token_hash) = secrets::generate(Kind::Runner)?;
        let now = self.inner().clock.now();
        let (name, live) = (new.name.clone(), std::sync::Arc::clone(&self.inner().live));
        let (id, created) = self
            .store()
            .write(move |tx| {
                if let RunnerScope::Team(team) = by.scope {
                    environments::ensure(tx, team, &environment, now)?;
                }
                if let Some(token) = by.token {
                    registration_tokens::touch(tx, token, now)?;
                }
                let registration = runners::Registration {
                    name: new.name,
                    scope: by.scope,
                    environment,
                    pool,
                    labels,
                    token_hash,
                };
                let (id, fresh) = runners::register(tx, &registration, now).map_err(|e| {
                    taken(e, || {
                        Error::Conflict(format!(
                            "the runner name {:?} is held by another team or the platform: choose another",
                            registration.name
                        ))
                    })
                })?;
                // Here too, and not only after the commit: a claim of the former token may follow in the same batch.
                if !planted(Bug::ReplacedTokenWaits) {
                    live.dispatch.sign_off(id);
                }
                Ok::<_, Error>((id, fresh))
            })
            .await?;
        Ok(Registered { id, name, token, scope: by.scope, created })
    }

    /// Forgets runners that were silent for too long and hold nothing.
    pub(crate) async fn prune_runners(&self) -> Result<usize, Error> {
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
        let Some(after) = self.inner().settings.runner_prune_after else { return Ok(0) };
        let before = minitower_domain::clock::Timestamp(
            self.inner().clock.now().0.saturating_sub(i64::try_from(after.as_millis()).unwrap_or(i64::MAX)),
        );
        let silent = self
            .store()
            .read(move |db| Ok::<_, Error>(runners::silent_since(db, before, PRUNE_BATCH)?))
            .await?;
        // What the database has of their last sight may lag behind the memory.
        let presence = &self.inner().live.presence;
        let gone: Vec<RunnerId> = silent.into_iter().filter(|id| !presence.seen_after(*id, before)).collect();
        if gone.is_empty() {
            return Ok(0);
        }
        let (forgotten, live) = (gone.len(), std::sync::Arc::clone(&self.inner().live));
        self.store()
            .write(move |tx| {
                // One may have been leased to since: its attempt needs it.
                let still_silent = runners::silent_since(tx, before, PRUNE_BATCH)?;
                let gone: Vec<RunnerId> = gone.into_iter().filter(|id| still_silent.contains(id)).collect();
                runners::delete(tx, &gone, None)?;
                live.dispatch.forget(&gone);
                Ok::<_, Error>(())
            })
            .await?;
        Ok(forgotten)
    }
}
