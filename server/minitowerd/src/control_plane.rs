//! The subjects, wired to one database.

use std::path::PathBuf;
use std::sync::Arc;

use minitower_kernel::clock::Clock;
use minitower_kernel::due::DueQueue;
use minitower_kernel::events::Subscribers;
use minitower_kernel::metrics::DatabaseMetrics;
use minitower_kernel::outbound::{AllowedNets, Outbound};
use minitower_kernel::trust::Trust;
use minitower_kernel::{Hooks, OpenError, Store};
use minitower_notifications::{Notifications, Smtp};
use minitower_rest::Subjects;
use minitower_runs::{Apps, Engine, Leases, Runners, Runs};
use minitower_teams::Teams;
use prometheus::Registry;
use tokio_util::sync::CancellationToken;

use crate::backup::{ObjectsAt, scheduled};
use crate::config::BackupSettings;

/// What the configuration decides for the subjects.
#[derive(Debug, Clone)]
pub struct Settings {
    /// The database file.
    pub db_path: PathBuf,
    /// What it decides for teams.
    pub teams: minitower_teams::Settings,
    /// What it decides for runs.
    pub runs: minitower_runs::Settings,
    /// What it decides for what goes outside.
    pub outside: Outside,
}

/// What the configuration decides for what goes outside.
#[derive(Debug, Clone, Default)]
pub struct Outside {
    /// Networks that may be called although they are not public.
    pub allowed_nets: AllowedNets,
    /// Authorities that are trusted in addition to the system's.
    pub trust: Trust,
    /// The mail server; none: no emails.
    pub smtp: Option<Smtp>,
    /// Where people reach this server with a browser.
    pub public_url: Option<String>,
}

/// The control plane, without its HTTP. A cheap clone.
#[derive(Debug, Clone)]
pub struct ControlPlane {
    store: Arc<Store>,
    teams: Teams,
    engine: Engine,
    notifications: Notifications,
    subjects: Subjects,
    due: DueQueue,
    registry: Registry,
    clock: Clock,
    stopping: CancellationToken,
}

/// The control plane cannot be opened.
#[derive(Debug, thiserror::Error)]
pub enum PlaneError {
    /// The database cannot be opened.
    #[error(transparent)]
    Database(#[from] OpenError),
    /// The teams cannot be opened.
    #[error(transparent)]
    Teams(#[from] minitower_teams::StartError),
    /// The runs cannot be opened.
    #[error(transparent)]
    Runs(#[from] minitower_runs::StartError),
    /// The notifications cannot be opened.
    #[error("the notifications cannot be read")]
    Notifications(#[source] minitower_kernel::StoreError),
    /// A metric cannot be registered.
    #[error("cannot set up the metrics")]
    Metrics(#[from] prometheus::Error),
}

impl ControlPlane {
    /// Opens the database and the object store, and puts right what the last stop left.
    ///
    /// `fatal` is called when the process has to end at once, because only a restart can find out what was committed. Cancel
    /// `stopping` to begin a graceful stop. [`ControlPlane::run_background`] has to be spawned beside.
    pub async fn open(
        settings: Settings,
        clock: Clock,
        stopping: CancellationToken,
        fatal: impl Fn(&str) + Send + Sync + Clone + 'static,
    ) -> Result<Self, PlaneError> {
        let registry = Registry::new();
        let database = DatabaseMetrics::new(&registry)?;
        // First the memories that follow the commits, then the database, then the subjects.
        let mut subscribers = Subscribers::default();
        let due = DueQueue::new(clock.clone());
        let of_teams = minitower_teams::Memory::new(&mut subscribers);
        let of_runs = minitower_runs::Memory::new(&registry, of_teams.clone(), &due, &mut subscribers)?;
        let shown = minitower_rest::shown_run;
        let of_notifications =
            minitower_notifications::Memory::new(&registry, &due, &mut subscribers, shown)?;
        // Once: it also follows what its own subject has.
        let audited = [minitower_runs::AUDITED, minitower_notifications::AUDITED].concat();
        minitower_teams::audit::follow(&mut subscribers, &audited);
        let batches = database.clone();
        let hooks =
            Hooks { batch: Box::new(move |size| batches.batch(size)), fatal: Box::new(fatal.clone()) };
        let objects = settings.runs.objects_dir.clone();
        let store = Arc::new(Store::open(&settings.db_path, subscribers, hooks)?);
        let teams = Teams::open(Arc::clone(&store), clock.clone(), settings.teams, of_teams).await?;
        teams.prune_audit(&due);
        let engine = Engine::open(
            Arc::clone(&store),
            clock.clone(),
            settings.runs,
            teams.clone(),
            of_runs,
            stopping.clone(),
        )
        .await?;
        // The folder of the objects is there by now.
        store.watch(&objects, fatal)?;
        let Outside { allowed_nets, trust, smtp, public_url } = settings.outside;
        let notifications = Notifications::open(
            Arc::clone(&store),
            clock.clone(),
            minitower_notifications::Settings { smtp, public_url },
            teams.clone(),
            engine.apps(),
            Outbound::new(allowed_nets, trust),
            of_notifications,
        )
        .await
        .map_err(PlaneError::Notifications)?;
        let subjects = Subjects::new(
            Arc::clone(&store),
            teams.clone(),
            &engine,
            notifications.clone(),
            registry.clone(),
            database,
        );
        Ok(Self { store, teams, engine, notifications, subjects, due, registry, clock, stopping })
    }

    /// Backs itself up from now on, as the settings say.
    pub fn back_up(&self, backup: BackupSettings, objects: ObjectsAt) -> Result<(), prometheus::Error> {
        let source = self.store.source();
        scheduled::start(
            backup,
            (source, objects),
            self.clock.clone(),
            (&self.registry, &self.due),
            self.stopping.clone(),
        )
    }

    /// Teams, and whom tokens speak for.
    pub fn teams(&self) -> &Teams {
        &self.teams
    }

    /// Apps, runs, leases and runners.
    pub fn engine(&self) -> &Engine {
        &self.engine
    }

    /// Apps, and uploads that become versions.
    pub fn apps(&self) -> Apps {
        self.engine.apps()
    }

    /// Runs as their team sees them.
    pub fn runs(&self) -> Runs {
        self.engine.runs()
    }

    /// The runner protocol.
    pub fn leases(&self) -> Leases {
        self.engine.leases()
    }

    /// Runners as they register, and as administrators see them.
    pub fn runners(&self) -> Runners {
        self.engine.runners()
    }

    /// Who is told of which runs.
    pub fn notifications(&self) -> &Notifications {
        &self.notifications
    }

    /// What the doors reach.
    pub fn subjects(&self) -> Subjects {
        self.subjects.clone()
    }

    /// Does what the server does by itself, until the stop begins. Whoever spawns it treats its end before that as a failure.
    pub async fn run_background(&self) {
        tokio::select! {
            () = self.stopping.cancelled() => {}
            () = self.due.run() => {}
        }
    }

    /// Folds the write-ahead log into the database; nothing is written after.
    pub async fn close(&self) -> Result<(), minitower_runs::Error> {
        self.notifications.close().await;
        // What cannot be written down keeps the log from nothing.
        let written = self.engine.close().await;
        self.store.close().await?;
        written
    }
}
