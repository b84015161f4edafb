//! Everything wired together.

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use minitower_http::{HttpConfig, HttpMetrics, HttpState, ServeLimits, router, serve};
use nix::sys::resource::{Resource, getrlimit};
use tokio::task::{JoinError, JoinHandle};
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

use crate::{COMMIT, Config, ListenAddr};

/// How long requests get to finish once the server stops.
const STOP_DEADLINE: Duration = Duration::from_secs(30);
/// Files the process needs beside connections: database, artifacts in transfer, log, runtime.
const FILES_IN_RESERVE: u64 = 256;

/// The server did not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The address cannot be listened on.
    #[error("cannot listen on {addr}: {source}; free the port or set another MINITOWER_LISTEN_ADDR")]
    Listen {
        /// The address.
        addr: ListenAddr,
        /// Why.
        source: io::Error,
    },
    /// A metric could not be registered.
    #[error("cannot set up the metrics: {0}")]
    Metrics(#[source] Box<dyn std::error::Error + Send + Sync>),
}

/// A part of the server ended although nobody asked it to, or did not end well.
#[derive(Debug, thiserror::Error)]
pub enum Failure {
    /// A background task is gone.
    #[error("the {0} has ended unexpectedly; the server cannot go on without it")]
    TaskEnded(&'static str),
    /// A background task panicked.
    #[error("the {0} panicked; the server cannot go on without it")]
    TaskPanicked(&'static str),
}

/// A running control plane. Dropping it without [`Server::shutdown`] cuts it off in mid-request, which costs clients
/// an answer but nothing that was answered.
#[derive(Debug)]
pub struct Server {
    local_addr: SocketAddr,
    stop: CancellationToken,
    abort: CancellationToken,
    http: JoinHandle<minitower_http::Ended>,
}

impl Server {
    /// Starts it; when this returns, requests are served. Needs a tokio runtime with time and I/O.
    pub async fn start(config: Config) -> Result<Self, StartError> {
        let listener = config
            .listen_addr
            .bind()
            .await
            .map_err(|source| StartError::Listen { addr: config.listen_addr.clone(), source })?;
        let local_addr = listener
            .local_addr()
            .map_err(|source| StartError::Listen { addr: config.listen_addr.clone(), source })?;
        let (stop, abort) = (CancellationToken::new(), CancellationToken::new());
        let metrics = HttpMetrics::new(COMMIT).map_err(|error| StartError::Metrics(Box::new(error)))?;
        let state = HttpState::new(
            HttpConfig {
                bootstrap_token: config.bootstrap_token,
                operator_token: config.operator_token,
                cors_origins: config.cors_origins,
                limits: config.limits,
                commit: COMMIT,
            },
            metrics,
            stop.clone(),
        );
        let http = tokio::spawn(serve(listener, router(state), serve_limits(), stop.clone(), abort.clone()));
        tracing::info!(addr = %local_addr, version = env!("CARGO_PKG_VERSION"), commit = COMMIT, "listening");
        Ok(Self { local_addr, stop, abort, http })
    }

    /// The address it listens on, with the port that port 0 became.
    pub fn local_addr(&self) -> SocketAddr {
        self.local_addr
    }

    /// Resolves when a part of the server has ended although nobody asked; then only [`Server::shutdown`] is left.
    pub async fn failed(&mut self) -> Failure {
        task_failure("accept loop", (&mut self.http).await.err().as_ref())
    }

    /// Cancelling it ends a [`Server::shutdown`] at once: requests that still run are dropped.
    pub fn abort_token(&self) -> CancellationToken {
        self.abort.clone()
    }

    /// Stops it: nothing more is accepted, waiting polls are answered, requests get 30 s to finish.
    pub async fn shutdown(mut self) -> Result<(), Failure> {
        self.stop.cancel();
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
            Err(error) => return Err(task_failure("accept loop", Some(&error))),
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

fn task_failure(name: &'static str, error: Option<&JoinError>) -> Failure {
    match error {
        Some(error) if error.is_panic() => Failure::TaskPanicked(name),
        _ => Failure::TaskEnded(name),
    }
}

/// As many connections as there are files for.
fn serve_limits() -> ServeLimits {
    let mut limits = ServeLimits::default();
    if let Ok((soft, _)) = getrlimit(Resource::RLIMIT_NOFILE) {
        let room = usize::try_from(soft.saturating_sub(FILES_IN_RESERVE)).unwrap_or(usize::MAX);
        limits.connections = limits.connections.min(room.max(16));
    }
    limits
}
