//! Everything wired together.

use std::io;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use minitower_daemon::errors::chain;
use minitower_kernel::OpenError;
use minitower_kernel::clock::Clock;
use minitower_rest::{HttpConfig, HttpMetrics, HttpState, ServeLimits, router, serve, watching_router};
use nix::sys::resource::{Resource, getrlimit};
use tokio::net::TcpListener;
use tokio::sync::mpsc;
use tokio::task::{JoinError, JoinHandle};
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

use crate::backup::ObjectsAt;
use crate::{COMMIT, Config, ControlPlane, ListenAddr, PlaneError};

/// How long requests get to finish once the server stops.
const STOP_DEADLINE: Duration = Duration::from_secs(30);
/// How long the last commits and the folding of the write-ahead log may take.
const CLOSE_DEADLINE: Duration = Duration::from_secs(30);
/// Files the process needs beside connections: database, artifacts in transfer, log, runtime, connections that are being closed.
const FILES_IN_RESERVE: u64 = 256;

/// Pause between two looks whether another process still has the database.
const LOCK_PAUSE: Duration = Duration::from_millis(100);

const ACCEPT_LOOP: &str = "accept loop";
const METRICS: &str = "accept loop of the metrics";
const BACKGROUND: &str = "reaper of expired leases";

/// The server did not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The address cannot be listened on.
    #[error("cannot listen on {addr}: {source}; free it, or set another {variable}")]
    Listen {
        /// The variable that names it.
        variable: &'static str,
        /// The address.
        addr: ListenAddr,
        /// Why.
        source: io::Error,
    },
    /// The database or the object store cannot be used.
    #[error(transparent)]
    Plane(#[from] PlaneError),
    /// A metric could not be registered.
    #[error("cannot set up the metrics: {0}")]
    Metrics(#[source] Box<dyn std::error::Error + Send + Sync>),
}

/// A part of the server ended although nobody asked it to, or did not end well.
#[derive(Debug, thiserror::Error)]
pub enum Failure {
    /// A background task is gone.
    #[error("the {0} has ended unexpectedly; the server cannot continue without it")]
    TaskEnded(&'static str),
    /// A background task panicked.
    #[error("the {0} panicked; the server cannot continue without it")]
    TaskPanicked(&'static str),
    /// The outcome of a commit is unknown, or pages are damaged: only a restart can find out what is in the database.
    #[error("the server cannot go on with its database: {0}")]
    Database(String),
    /// The database could not be closed in order. Nothing that was answered is lost.
    #[error("the database was not closed cleanly: {0}")]
    Close(String),
}

/// A running control plane. Dropping it without [`Server::shutdown`] cuts it off in mid-request, which costs clients
/// an answer but nothing that was answered.
#[derive(Debug)]
pub struct Server {
    local_addr: SocketAddr,
    metrics_addr: Option<SocketAddr>,
    state: HttpState,
    plane: ControlPlane,
    stop: CancellationToken,
    abort: CancellationToken,
    http: JoinHandle<minitower_rest::Ended>,
    watching: Option<JoinHandle<minitower_rest::Ended>>,
    background: JoinHandle<()>,
    fatal: mpsc::Receiver<String>,
}

impl Server {
    /// Starts it; when this returns, requests are served. Needs a tokio runtime with time and I/O.
    pub async fn start(config: Config) -> Result<Self, StartError> {
        // The port before the database: a second server on a taken port leaves the first one's files alone.
        let addr = &config.listen_addr;
        let (listener, local_addr) = listen(addr, "MINITOWER_LISTEN_ADDR").await?;
        let watched = match &config.metrics_addr {
            Some(addr) => Some(listen(addr, "MINITOWER_METRICS_ADDR").await?),
            None => None,
        };

        let (stop, abort) = (CancellationToken::new(), CancellationToken::new());
        // One place: the first report ends the server, and no second adds to it.
        let (report, fatal) = mpsc::channel(1);
        let (began, mut told) = (Instant::now(), false);
        let plane = loop {
            let report = report.clone();
            let fatal = move |reason: &str| {
                let _ = report.try_send(reason.to_owned());
            };
            match ControlPlane::open(config.settings(), Clock::start(), stop.clone(), fatal).await {
                Err(PlaneError::Database(OpenError::InUse(path)))
                    if began.elapsed() < config.db_lock_timeout =>
                {
                    if !std::mem::replace(&mut told, true) {
                        tracing::info!(
                            database = %path.display(),
                            limit = ?config.db_lock_timeout,
                            "another process still has the database; waiting for its end"
                        );
                    }
                    tokio::time::sleep(LOCK_PAUSE).await;
                }
                opened => break opened?,
            }
        };
        drop(report);
        if let Some(backup) = config.backup.clone() {
            let registered = plane.back_up(backup, ObjectsAt::of(&config));
            registered.map_err(|error| StartError::Metrics(Box::new(error)))?;
        }
        let limits = serve_limits(&config);
        let metrics = HttpMetrics::new(COMMIT).map_err(|error| StartError::Metrics(Box::new(error)))?;
        let state = HttpState::new(
            plane.subjects(),
            HttpConfig {
                cors_origins: config.cors_origins,
                limits: config.limits,
                commit: COMMIT,
                sqlite_version: minitower_kernel::sqlite_version(),
                metrics_elsewhere: watched.is_some(),
            },
            metrics,
        );
        let served = router(state.clone());
        let http = tokio::spawn(serve(listener, served, limits.clone(), stop.clone(), abort.clone()));
        let metrics_addr = watched.as_ref().map(|(_, addr)| *addr);
        let watching = watched.map(|(listener, _)| {
            let served = watching_router(state.clone());
            tokio::spawn(serve(listener, served, limits.clone(), stop.clone(), abort.clone()))
        });
        let background = tokio::spawn({
            let plane = plane.clone();
            async move { plane.run_background().await }
        });
        if let Some(addr) = metrics_addr {
            tracing::info!(%addr, "serving the metrics");
        }
        tracing::info!(addr = %local_addr, version = env!("CARGO_PKG_VERSION"), commit = COMMIT, "listening");
        Ok(Self { local_addr, metrics_addr, state, plane, stop, abort, http, watching, background, fatal })
    }

    /// The address that the metrics have of their own.
    pub fn metrics_addr(&self) -> Option<SocketAddr> {
        self.metrics_addr
    }

    /// Says from now on that it is not ready, and answers everything else as before.
    pub fn announce_stop(&self) {
        self.state.announce_stop();
    }

    /// The address it listens on, with the port that port 0 became.
    pub fn local_addr(&self) -> SocketAddr {
        self.local_addr
    }

    /// Resolves when a part of the server has ended although nobody asked; then only [`Server::shutdown`] is left, and
    /// after [`Failure::Database`] only the end of the process.
    pub async fn failed(&mut self) -> Failure {
        tokio::select! {
            biased;
            Some(reason) = self.fatal.recv() => Failure::Database(reason),
            ended = &mut self.http => task_failure(ACCEPT_LOOP, ended.err().as_ref()),
            ended = ended(&mut self.watching) => task_failure(METRICS, ended.err().as_ref()),
            ended = &mut self.background => task_failure(BACKGROUND, ended.err().as_ref()),
        }
    }

    /// Cancelling it ends a [`Server::shutdown`] at once: requests that still run are dropped.
    pub fn abort_token(&self) -> CancellationToken {
        self.abort.clone()
    }

    /// Stops it: nothing more is accepted, waiting polls are answered, requests get 30 s to finish; then the
    /// write-ahead log is folded into the database.
    pub async fn shutdown(mut self) -> Result<(), Failure> {
        self.stop.cancel();
        self.finish_requests().await?;
        if !self.background.is_finished() {
            (&mut self.background).await.map_err(|error| task_failure(BACKGROUND, Some(&error)))?;
        }
        match timeout(CLOSE_DEADLINE, self.plane.close()).await {
            Ok(closed) => closed.map_err(|error| Failure::Close(chain(&error))),
            Err(_) => Err(Failure::Close(format!("it took longer than {} s", CLOSE_DEADLINE.as_secs()))),
        }
    }

    async fn finish_requests(&mut self) -> Result<(), Failure> {
        let http = &mut self.http;
        if http.is_finished() {
            return Ok(());
        }
        let ended = if let Ok(ended) = timeout(STOP_DEADLINE, &mut *http).await {
            ended
        } else {
            tracing::warn!(seconds = STOP_DEADLINE.as_secs(), "requests did not finish in time");
            self.abort.cancel();
            http.await
        };
        match ended {
            Ok(ended) if ended.cut > 0 => tracing::warn!(connections = ended.cut, "requests were dropped"),
            Ok(_) => {}
            Err(error) => return Err(task_failure(ACCEPT_LOOP, Some(&error))),
        }
        Ok(())
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.stop.cancel();
        self.abort.cancel();
    }
}

async fn listen(addr: &ListenAddr, variable: &'static str) -> Result<(TcpListener, SocketAddr), StartError> {
    let cannot_listen = |source| StartError::Listen { variable, addr: addr.clone(), source };
    let listener = addr.bind().await.map_err(cannot_listen)?;
    let local_addr = listener.local_addr().map_err(cannot_listen)?;
    Ok((listener, local_addr))
}

/// How a task ended, if there is one.
async fn ended<T>(task: &mut Option<JoinHandle<T>>) -> Result<T, JoinError> {
    match task {
        Some(task) => task.await,
        None => std::future::pending().await,
    }
}

fn task_failure(name: &'static str, error: Option<&JoinError>) -> Failure {
    match error {
        Some(error) if error.is_panic() => Failure::TaskPanicked(name),
        _ => Failure::TaskEnded(name),
    }
}

/// As many connections as there are files for, and as much memory for bodies as a few of the largest need.
fn serve_limits(config: &Config) -> ServeLimits {
    let mut limits =
        ServeLimits { trusted_proxies: config.trusted_proxies.clone(), ..ServeLimits::default() };
    limits.body_budget_bytes = limits.body_budget_bytes.max(config.limits.request_body.saturating_mul(4));
    if let Ok((soft, _)) = getrlimit(Resource::RLIMIT_NOFILE) {
        let room = usize::try_from(soft.saturating_sub(FILES_IN_RESERVE)).unwrap_or(usize::MAX);
        limits.connections = limits.connections.min(room.max(16));
        limits.strangers = limits.strangers.min((limits.connections / 2).max(8));
    }
    limits
}
