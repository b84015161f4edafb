//! Creating a run under a key: repeating the call gives the same run.

use std::time::Duration;

use minitower_kernel::Db;
use minitower_teams::secrets;
use minitower_teams::team::TeamPrincipal;
use minitower_vocabulary::ids::TeamId;
use minitower_vocabulary::time::Timestamp;

use crate::domain::run::Run;
use crate::runs::Prepared;
use crate::store::idempotency::{self, Used};
use crate::store::{inputs, runs};
use crate::{CreateRun, Engine, Error, Field, Runs};

/// How long a key is remembered.
const REMEMBERED: Duration = Duration::from_hours(24);
/// Most characters of a key.
const MAX_KEY: usize = 255;
/// Keys forgotten in one transaction.
const BATCH: i64 = 500;

/// Names a request, so that repeating it changes nothing more.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Idempotency {
    key: String,
    request_hash: [u8; 32],
}

impl Idempotency {
    /// A key for what is asked for: the app or the run, and the rest of the request in a text that is the same whenever the same is
    /// asked for.
    pub fn new(key: &str, of: &str, request: &str) -> Result<Self, Error> {
        if !(1..=MAX_KEY).contains(&key.len()) || !key.bytes().all(|byte| byte.is_ascii_graphic()) {
            return Err(Error::field("Idempotency-Key", Field::NotPlain { most: MAX_KEY }));
        }
        // Neither a slug nor the path of a run has a line break.
        let request_hash = secrets::hash(&format!("{of}\n{request}"));
        Ok(Self { key: key.to_owned(), request_hash })
    }

    /// The run that was made of the same request before.
    fn before(&self, db: &Db, team: TeamId, now: Timestamp) -> Result<Option<Run>, Error> {
        let Some(used) = idempotency::find(db, team, &self.key, remembered_since(now))? else {
            return Ok(None);
        };
        // A run that was deleted leaves its key to the next.
        let Some(run) = runs::by_id_of_team(db, team, used.run)? else { return Ok(None) };
        if used.request_hash == self.request_hash {
            Ok(Some(inputs::with_input(db, run)?))
        } else {
            Err(Error::KeyReused)
        }
    }
}

fn remembered_since(now: Timestamp) -> Timestamp {
    Timestamp(now.0.saturating_sub(i64::try_from(REMEMBERED.as_millis()).unwrap_or(i64::MAX)))
}

/// What came of a request that may be a repetition.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Created {
    /// A new run.
    New(Run),
    /// The run that the same request made before, as it is now.
    Before(Run),
}

impl Runs {
    /// Queues a run, unless the same request did so under the same key within a day.
    pub async fn create_run_once(
        &self,
        by: &TeamPrincipal,
        app_slug: String,
        new: CreateRun,
        once: Idempotency,
    ) -> Result<Created, Error> {
        // Before anything is checked: the app may be disabled meanwhile, or have another newest version.
        if let Some(run) = self.made_before(by.team_id, &once).await? {
            return Ok(Created::Before(run));
        }
        let prepared = self.prepared(by, app_slug, new).await?;
        self.insert_once(by.team_id, prepared, once).await
    }

    /// The run that the same request made before.
    pub(crate) async fn made_before(&self, team: TeamId, once: &Idempotency) -> Result<Option<Run>, Error> {
        let (key, now) = (once.clone(), self.0.clock.now());
        self.0.store.read(move |db| key.before(db, team, now)).await
    }

    /// Queues a run, unless the same request did so meanwhile.
    pub(crate) async fn insert_once(
        &self,
        team: TeamId,
        prepared: Prepared,
        once: Idempotency,
    ) -> Result<Created, Error> {
        let clock = self.0.clock.clone();
        self.0
            .store
            .write(move |tx| {
                let now = clock.now();
                // The same request may have come twice at once.
                if let Some(run) = once.before(tx, team, now)? {
                    return Ok(Created::Before(run));
                }
                let run = prepared.insert(tx, now)?;
                let Idempotency { key, request_hash } = once;
                idempotency::insert(tx, team, &key, Used { request_hash, run: run.id }, now)?;
                Ok(Created::New(run))
            })
            .await
    }
}

impl Engine {
    /// Forgets the keys of yesterday, in batches.
    pub(crate) async fn prune_keys(&self) -> Result<(), Error> {
        loop {
            let until = remembered_since(self.0.clock.now());
            // Looked up on a read connection: an idle server writes nothing.
            if !self.0.store.read(move |db| Ok::<_, Error>(idempotency::any_until(db, until)?)).await? {
                return Ok(());
            }
            self.0.store.write(move |tx| Ok::<_, Error>(idempotency::prune(tx, until, BATCH)?)).await?;
        }
    }
}
