//! What the program itself needs of the subject: its start, its background tasks, its gauges and its end.

use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use minitower_kernel::clock::Clock;
use minitower_kernel::objects::{CannotOpen, ClientError, Location, Objects};
use minitower_kernel::{Db, Store, StoreError, Tx};
use minitower_teams::Teams;
use minitower_vocabulary::ids::RunId;
use minitower_vocabulary::limits::LimitName;
use minitower_vocabulary::time::Timestamp;
use tokio_util::sync::CancellationToken;

use crate::domain::lease;
use crate::store::{attempts, counts, gates, runners, usage};
use crate::{Apps, Error, Leases, Memory, Runners, Runs, Settings, Shared, schema};

/// Attempts revived at a time.
const REVIVED_AT_ONCE: i64 = 1000;

/// The subject cannot be opened; one line that names the thing, the reason and the way out.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The folder of the objects cannot be used.
    #[error(
        "cannot use the objects folder {path}: {source}; name another one with MINITOWER_OBJECTS_DIR, or let this user write there"
    )]
    Objects {
        /// The folder.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// The settings of the bucket make no sense.
    #[error(transparent)]
    Bucket(#[from] ClientError),
    /// The bucket belongs to another control plane.
    #[error(
        "the objects at {0} belong to another control plane, and each would remove what the other one stored: set another prefix in \
         MINITOWER_OBJECTS_URL"
    )]
    Foreign(Location),
    /// Something that has to be read or put right at start cannot be.
    #[error("cannot clean up what the last stop left")]
    Load(#[from] Error),
}

/// The running subject. A cheap clone.
#[derive(Debug, Clone)]
pub struct Engine(pub(crate) Arc<Shared>);

impl Engine {
    /// Opens the subject on a database that is already open, and puts right what the last stop left: leases get their grace, temporary
    /// files go.
    ///
    /// `memory` followed the commits from the database's opening on. Cancel `stopping` to begin a graceful stop.
    /// What it does by itself is called by the due-queue that `memory` was made with.
    pub async fn open(
        store: Arc<Store>,
        clock: Clock,
        settings: Settings,
        teams: Teams,
        memory: Arc<Memory>,
        stopping: CancellationToken,
    ) -> Result<Self, StartError> {
        let objects = match Objects::open(&settings.objects_dir, settings.objects_url.as_ref()) {
            Err(CannotOpen::Folder(source)) => {
                return Err(StartError::Objects { path: settings.objects_dir, source });
            }
            Err(CannotOpen::Client(error)) => return Err(error.into()),
            Ok(objects) => objects,
        };
        let schemas = schema::Cache::default();
        let engine =
            Self(Arc::new(Shared { store, objects, clock, settings, teams, memory, schemas, stopping }));
        engine.load().await?;
        engine.register();
        Ok(engine)
    }

    async fn load(&self) -> Result<(), StartError> {
        let read = |db: &Db| {
            let newest = attempts::newest_of_all(db)?;
            let held = (gates::rules(db)?, gates::held(db)?);
            Ok::<_, Error>((counts::all(db)?, runners::all_seen(db)?, usage::all(db)?, newest, held))
        };
        let (counts, seen, used, newest_attempt, (rules, held)) = self.0.store.read(read).await?;
        let environments = self.0.teams.known_environments().await.map_err(Error::from)?;
        let names = environments.iter().map(|known| (known.id, known.name.clone())).collect();
        let memory = &self.0.memory;
        let active_runs = self.0.teams.limit_by_team(LimitName::ActiveRuns);
        memory.dispatch.load(&counts, &names, &active_runs);
        memory.queues.load(&counts, &names, &active_runs);
        memory.usage.load(&counts, used);
        memory.gates.load(rules, &held);
        memory.logs.load(newest_attempt);
        memory.gauges.load(counts, environments);
        memory.gauges.give_series(&memory.metrics.series);
        memory.presence.load(seen);
        self.grant_restart_grace().await?;
        self.cut_backoffs().await?;
        self.unsettle_all().await?;
        self.0.settle_objects().await?;
        Ok(())
    }

    /// Apps, and uploads that become versions.
    pub fn apps(&self) -> Apps {
        Apps(Arc::clone(&self.0))
    }

    /// Runs as their team sees them.
    pub fn runs(&self) -> Runs {
        Runs(Arc::clone(&self.0))
    }

    /// The runner protocol.
    pub fn leases(&self) -> Leases {
        Leases(Arc::clone(&self.0))
    }

    /// Runners as they register, and as administrators see them.
    pub fn runners(&self) -> Runners {
        Runners(Arc::clone(&self.0))
    }

    /// Brings the gauges up to now. One scrape at a time: it empties them first.
    pub fn refresh_gauges(&self) {
        self.0.refresh_gauges();
    }

    /// Writes down what only the memory knows; the database is closed after it.
    pub async fn close(&self) -> Result<(), Error> {
        self.0.flush_presence().await
    }
}

/// Puts the leases of a restored backup right, in the transaction that restores it: every token in it is void, and every active lease
/// gets its full length again. Nobody can extend it, so its run is queued again when it runs out.
pub fn revive(tx: &Tx<'_>, ttl: Duration, now: Timestamp) -> Result<(), StoreError> {
    let mut last = RunId(0);
    loop {
        let batch = attempts::active(tx, last, REVIVED_AT_ONCE)?;
        let Some(newest) = batch.last() else { return Ok(()) };
        last = newest.run_id;
        for attempt in batch {
            attempts::void_tokens(tx, attempt.id)?;
            let lease = lease::after_restart(attempt.lease.clone(), ttl, now);
            attempts::save_lease(tx, attempt, lease)?;
        }
    }
}
