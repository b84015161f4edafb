//! The use cases of the control plane: load, decide in the domain, save, in one transaction. No HTTP, no SQL.
//!
//! [`App`] is what the HTTP layer calls; each module adds the use cases of one subject to it:
//!
//! | module | what |
//! |---|---|
//! | [`auth`] | whom a token speaks for |
//! | [`teams`] | bootstrap, sign-up, login, tokens, environments |
//! | [`apps`], [`versions`] | apps, and uploads that become versions |
//! | [`runs`], [`artifacts`] | create, list, cancel, logs; what jobs leave behind |
//! | [`runners`], [`lease`], [`attempts`] | the runner protocol: register, poll, and the calls under a lease |
//! | [`admin`] | runners as administrators see them, fences |
//! | [`background`] | the reaper and the other tasks that run by themselves |
//!
//! Behind them: [`dispatch`] wakes waiting polls, [`gauges`] and [`metrics`] follow what was committed, [`presence`] knows who was heard of,
//! [`objects`] keeps the archives. [`page`] says which part of a list is asked for.

pub mod admin;
pub mod apps;
pub mod artifacts;
pub mod attempts;
pub mod auth;
pub mod background;
pub mod dispatch;
mod error;
pub mod gauges;
pub mod lease;
mod masked;
pub mod metrics;
pub mod objects;
pub mod page;
mod passwords;
pub mod presence;
mod remembered;
pub mod runners;
pub mod runs;
mod schema;
pub mod secrets;
mod settings;
pub mod teams;
mod throttle;
pub mod versions;

use std::sync::Arc;

use minitower_domain::clock::Clock;
use minitower_planted::{Bug, planted};
use minitower_store::effects::Effect;
use minitower_store::{Hooks, Store, counts, environments, runners as stored_runners};
use tokio_util::sync::CancellationToken;

pub use error::{Error, StartError};
pub use minitower_domain as domain;
pub use minitower_store::logs::LogLine;
pub use settings::Settings;

use crate::dispatch::Dispatch;
use crate::gauges::Gauges;
use crate::metrics::Metrics;
use crate::objects::Objects;
use crate::presence::Presence;
use crate::remembered::Remembered;

/// The control plane, without its HTTP. A cheap clone.
#[derive(Debug, Clone)]
pub struct App(Arc<Inner>);

#[derive(Debug)]
pub(crate) struct Inner {
    pub(crate) store: Store,
    pub(crate) clock: Clock,
    pub(crate) settings: Settings,
    pub(crate) objects: Objects,
    pub(crate) live: Arc<Live>,
    pub(crate) schemas: schema::Cache,
    pub(crate) throttle: throttle::Throttle,
    pub(crate) passwords: passwords::Hasher,
    /// Cancelled when the server begins to stop: waiting polls are answered, background tasks end.
    pub(crate) stopping: CancellationToken,
}

/// What lives in memory and follows the commits.
#[derive(Debug)]
pub(crate) struct Live {
    pub(crate) credentials: auth::Credentials,
    /// Apps that take runs, with the version asked for.
    pub(crate) runnable: Remembered<runs::Wanted, Arc<runs::Runnable>>,
    pub(crate) dispatch: Dispatch,
    pub(crate) gauges: Gauges,
    pub(crate) metrics: Metrics,
    pub(crate) presence: Presence,
    /// The next lease to run out.
    pub(crate) alarm: background::Alarm,
    /// The next backoff to end.
    pub(crate) backoffs: background::Alarm,
}

impl Live {
    /// Runs on the writer's thread, after each commit and before its answers.
    fn committed(&self, effects: &[Effect]) {
        for effect in effects {
            match effect {
                Effect::RunMoved(moved) => {
                    self.gauges.moved(moved);
                    self.metrics.moved(moved);
                    self.dispatch.moved(moved);
                    if let Some(at) = moved.after.not_before {
                        self.backoffs.note(at);
                    }
                }
                Effect::EnvironmentMade { team, id, name } => {
                    self.gauges.environment_made(*id, team, name);
                }
                Effect::AppChanged => {
                    if !planted(Bug::NewVersionUnnoticed) {
                        self.runnable.forget();
                    }
                }
                Effect::RunnerRegistered { id, environment, at } => {
                    // First the token, then the polls under it: see `App::lease`.
                    if !planted(Bug::ReplacedTokenRemembered) {
                        self.credentials.runners.forget();
                    }
                    self.presence.registered(*id, environment, *at);
                    // The former token is dead, and so are the polls that wait under it.
                    if !planted(Bug::ReplacedTokenWaits) {
                        self.dispatch.sign_off(*id);
                    }
                    self.metrics.runners_registered.with_label_values(&[environment]).inc();
                }
                Effect::RunnersForgotten(ids) => {
                    self.credentials.runners.forget();
                    self.presence.forget(ids);
                    self.dispatch.forget(ids);
                }
                Effect::Unfenced { runner_name } => self.dispatch.unfenced(runner_name),
            }
        }
    }
}

impl App {
    /// Opens the database and the object store, and puts right what the last stop left: leases get their grace, temporary files go.
    ///
    /// `fatal` is called when the process has to end at once, because only a restart can find out what was committed. Cancel
    /// `stopping` to begin a graceful stop. [`App::run_background`] has to be spawned beside.
    pub async fn open(
        settings: Settings,
        clock: Clock,
        stopping: CancellationToken,
        fatal: impl Fn(&str) + Send + 'static,
    ) -> Result<Self, StartError> {
        let metrics = Metrics::new()?;
        let live = Arc::new(Live {
            credentials: auth::Credentials::default(),
            runnable: Remembered::new(runs::RUNNABLE_KEPT),
            dispatch: Dispatch::default(),
            gauges: Gauges::default(),
            metrics,
            presence: Presence::default(),
            alarm: background::Alarm::default(),
            backoffs: background::Alarm::default(),
        });
        let (committed, batches) = (Arc::clone(&live), live.metrics.write_batch_size.clone());
        let hooks = Hooks {
            committed: Box::new(move |effects| committed.committed(effects)),
            #[expect(clippy::cast_precision_loss, reason = "a batch holds hundreds")]
            batch: Box::new(move |size| batches.observe(size as f64)),
            fatal: Box::new(fatal),
        };
        let store = Store::open(&settings.db_path, hooks)?;
        let objects = Objects::open(&settings.objects_dir)?;
        let app = Self(Arc::new(Inner {
            store,
            clock,
            settings,
            objects,
            live,
            schemas: schema::Cache::default(),
            throttle: throttle::Throttle::default(),
            passwords: passwords::Hasher::new()?,
            stopping,
        }));
        app.load().await?;
        Ok(app)
    }

    async fn load(&self) -> Result<(), StartError> {
        let (counts, environments, seen) = self
            .store()
            .read(|db| {
                Ok::<_, Error>((
                    counts::all(db)?,
                    environments::all_known(db)?,
                    stored_runners::all_seen(db)?,
                ))
            })
            .await?;
        self.0.live.dispatch.load(&counts);
        self.0.live.gauges.load(counts, environments);
        self.0.live.presence.load(seen);
        self.grant_restart_grace().await?;
        self.cut_backoffs().await?;
        self.remove_orphans().await?;
        Ok(())
    }

    /// Answers whether the database answers.
    pub async fn ping(&self) -> Result<(), Error> {
        self.store().read(|db| Ok(db.ping()?)).await
    }

    /// Folds the write-ahead log into the database; nothing is written after.
    pub async fn close(&self) -> Result<(), Error> {
        self.flush_presence().await?;
        Ok(self.store().close().await?)
    }

    /// Everything `GET /metrics` says of the domain, as of now.
    pub fn metrics(&self) -> Vec<prometheus::proto::MetricFamily> {
        let metrics = &self.0.live.metrics;
        // One scrape at a time: refreshing empties the gauges first.
        let _scrape = metrics.scraped.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        self.refresh_gauges();
        metrics.registry.gather()
    }

    pub(crate) fn store(&self) -> &Store {
        &self.0.store
    }

    pub(crate) fn inner(&self) -> &Inner {
        &self.0
    }
}
