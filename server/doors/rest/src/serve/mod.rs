//! The accept loop: HTTP/1.1 on a listener, within limits, until it is told to stop.

mod socket;

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use axum::Router;
use http::Request;
use http_body::Body as _;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio::task::JoinSet;
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;
use tower::ServiceExt as _;

use self::socket::Socket;
use crate::extract::PeerAddr;

/// Pause after a failed accept that says the process is out of something, so that the loop does not spin.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// Bodies up to this size have come with their head, or nearly: nothing is left of them at the end.
const SMALL_BODY_BYTES: u64 = 16 * 1024;

/// Limits on connections.
#[derive(Debug, Clone, Copy)]
pub struct ServeLimits {
    /// Most connections at a time; more wait in the kernel's queue.
    pub connections: usize,
    /// How long a request's head may take to arrive, counted from the answer before it: it also ends idle
    /// connections.
    pub header_read: Duration,
    /// How long a client may leave an answer unread.
    pub write_stall: Duration,
    /// Largest request head, in bytes.
    pub header_bytes: usize,
}

impl Default for ServeLimits {
    fn default() -> Self {
        Self {
            connections: 10_000,
            // Longer than clients keep idle connections (Go and reqwest: 90 s), so that none sends into one that is closing.
            header_read: Duration::from_secs(100),
            write_stall: Duration::from_secs(30),
            header_bytes: 64 * 1024,
        }
    }
}

/// How serving ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Ended {
    /// Connections that were cut while they still had a request.
    pub cut: usize,
}

/// Serves until `stop` is cancelled: then nothing more is accepted, idle connections are closed and requests are
/// finished. When `abort` is cancelled, what is left is dropped.
pub async fn serve(
    listener: TcpListener,
    router: Router,
    limits: ServeLimits,
    stop: CancellationToken,
    abort: CancellationToken,
) -> Ended {
    let mut builder = http1::Builder::new();
    builder
        .timer(TokioTimer::new())
        .header_read_timeout(limits.header_read)
        .max_buf_size(limits.header_bytes);
    let permits = Arc::new(Semaphore::new(limits.connections));
    let mut connections = JoinSet::new();
    loop {
        let accepted = tokio::select! {
            biased;
            () = stop.cancelled() => break,
            // Reaped as they end, so that the set holds the living only.
            Some(_) = connections.join_next() => continue,
            accepted = accept(&listener, &permits) => accepted,
        };
        let Some((stream, peer, permit)) = accepted else { continue };
        let router = router.clone();
        let linger = Arc::new(AtomicBool::new(false));
        let stream = Socket::new(stream, limits.write_stall, Arc::clone(&linger));
        let service = service_fn(move |mut request: Request<Incoming>| {
            request.extensions_mut().insert(PeerAddr(peer));
            let body_bytes = request.body().size_hint().upper();
            linger.store(body_bytes.is_none_or(|bytes| bytes > SMALL_BODY_BYTES), Ordering::Relaxed);
            router.clone().oneshot(request)
        });
        let connection = builder.serve_connection(TokioIo::new(stream), service);
        let stop = stop.clone();
        connections.spawn(async move {
            let _permit = permit;
            tokio::pin!(connection);
            let ended = tokio::select! {
                ended = connection.as_mut() => ended,
                () = stop.cancelled() => {
                    connection.as_mut().graceful_shutdown();
                    connection.await
                }
            };
            if let Err(error) = ended {
                // Clients vanish, stall and talk nonsense all the time; none of it is the server's failure.
                tracing::debug!(%peer, error = &error as &dyn std::error::Error, "connection ended early");
            }
        });
    }
    drop(listener);
    loop {
        tokio::select! {
            biased;
            () = abort.cancelled() => break,
            ended = connections.join_next() => if ended.is_none() { break },
        }
    }
    let cut = connections.len();
    connections.shutdown().await;
    Ended { cut }
}

/// The next connection, once there is room for one.
async fn accept(
    listener: &TcpListener,
    permits: &Arc<Semaphore>,
) -> Option<(TcpStream, SocketAddr, tokio::sync::OwnedSemaphorePermit)> {
    let permit = Arc::clone(permits).acquire_owned().await.ok()?;
    match listener.accept().await {
        Ok((stream, peer)) => {
            // Answers are small and wanted at once; a socket that refuses the option works all the same.
            if let Err(error) = stream.set_nodelay(true) {
                tracing::debug!(%peer, error = &error as &dyn std::error::Error, "TCP_NODELAY not set");
            }
            Some((stream, peer, permit))
        }
        Err(error) => {
            if is_of_the_connection(&error) {
                return None;
            }
            tracing::error!(error = &error as &dyn std::error::Error, "cannot accept connections");
            sleep(ACCEPT_PAUSE).await;
            None
        }
    }
}

/// Whether a failed accept says something about that one connection only (`accept(2)`).
fn is_of_the_connection(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::ConnectionAborted
            | io::ErrorKind::ConnectionRefused
            | io::ErrorKind::ConnectionReset
            | io::ErrorKind::Interrupted
    )
}
