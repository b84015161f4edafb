//! The accept loop: HTTP/1.1 on a listener, within limits, until it is told to stop.

mod address;
mod answers;
mod connection;
mod crowd;
mod host;
mod intake;
mod lobby;
mod socket;

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::response::IntoResponse as _;
use futures_util::future::{AbortHandle, Abortable, Either, ready};
use http::{Request, Response};
use http_body::Body as _;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use socket2::SockRef;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep, timeout};
use tokio_util::sync::CancellationToken;
use tower::ServiceExt as _;

pub use self::address::{InvalidNetwork, TrustedProxies};
use self::connection::{Answer, Connection};
use self::crowd::{Bounds, Crowd, Seat};
use self::intake::{BodyLimits, Budgets, Watched};
pub(crate) use self::intake::{BodyRefused, Intake};
use self::socket::{Patience, Socket};
use crate::extract::PeerAddr;

/// Pause after a failed accept that says the process is out of something, so that the loop does not spin.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// Pause between two looks for a connection that makes room.
const ROOM_PAUSE: Duration = Duration::from_millis(20);

/// How long a stop waits for those who have shown no good token.
const STRANGERS_STOP: Duration = Duration::from_secs(1);

/// Bytes of answers that the kernel takes before it can send them (`TCP_NOTSENT_LOWAT`, tcp(7)). Without it, a client that asks and does not
/// read holds megabytes that no limit of the process counts.
const MOST_UNSENT_BYTES: u32 = 64 * 1024;

/// Bodies up to this size have come with their head, or nearly: nothing is left of them at the end.
const SMALL_BODY_BYTES: u64 = 16 * 1024;

/// Limits on connections and on what comes over them.
#[derive(Debug, Clone)]
pub struct ServeLimits {
    /// Most connections at a time. Those that wait for their next request make room; if none does, more wait in the kernel's queue.
    pub connections: usize,
    /// Most connections that have shown no good token.
    pub strangers: usize,
    /// Most connections of one address, before they have shown a good token. Loopback and trusted proxies have no such bound.
    pub per_address: usize,
    /// Most connections of one token.
    pub per_token: usize,
    /// How long a request's head may take to arrive.
    pub head: Duration,
    /// How long a connection may be idle between two requests.
    pub idle: Duration,
    /// Largest request head, in bytes.
    pub head_bytes: usize,
    /// Largest body of a request without a good token, in bytes.
    pub stranger_body_bytes: u64,
    /// How long such a body may take.
    pub stranger_body: Duration,
    /// How long any body may be waited for until 32 KiB more of it have come.
    pub body_stall: Duration,
    /// What all bodies that are being received may take of the memory, in bytes: a fourth of it for those without a good token.
    pub body_budget_bytes: u64,
    /// How long a client may be waited for until it has read 64 KiB more of its answer.
    pub write_stall: Duration,
    /// Whose `X-Forwarded-For` is believed.
    pub trusted_proxies: TrustedProxies,
}

impl Default for ServeLimits {
    fn default() -> Self {
        Self {
            connections: 10_000,
            strangers: 2_000,
            per_address: 256,
            per_token: 512,
            head: Duration::from_secs(10),
            // Longer than clients keep idle connections (Go and reqwest: 90 s), so that none sends into one that is closing.
            idle: Duration::from_secs(100),
            head_bytes: 16 * 1024,
            stranger_body_bytes: 64 * 1024,
            stranger_body: Duration::from_secs(10),
            body_stall: Duration::from_secs(30),
            body_budget_bytes: 64 * 1024 * 1024,
            write_stall: Duration::from_secs(30),
            trusted_proxies: TrustedProxies::default(),
        }
    }
}

impl ServeLimits {
    fn bounds(&self) -> Bounds {
        Bounds {
            // Where they may be all, those over the bound wait in the kernel's queue instead of being refused.
            strangers: if self.strangers < self.connections { self.strangers } else { usize::MAX },
            per_address: self.per_address,
            per_token: self.per_token,
        }
    }

    /// How many connections nobody has who is served: for those who have just come. None where there are few.
    fn kept_for_newcomers(&self) -> usize {
        (self.connections / 16).min(256)
    }

    fn patience(&self) -> Patience {
        Patience {
            head: self.head,
            idle: self.idle,
            write_stall: self.write_stall,
            head_bytes: self.head_bytes,
        }
    }

    fn body(&self) -> BodyLimits {
        BodyLimits {
            stranger_bytes: self.stranger_body_bytes,
            stranger_time: self.stranger_body,
            stall: self.body_stall,
            least_bytes: 32 * 1024,
            small_bytes: SMALL_BODY_BYTES,
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
    let server = Arc::new(Serving::new(router, limits));
    let (mut arrivals, lobby) = lobby::open(listener, Arc::clone(&server), stop.clone());
    let mut connections = JoinSet::new();
    let serve = |arrival: HandedOver, connections: &mut JoinSet<_>| {
        let arrival = match arrival.convert(TcpStream::from_std) {
            Ok(arrival) => arrival,
            Err(error) => {
                tracing::error!(error = &error as &dyn std::error::Error, "cannot serve a connection");
                return;
            }
        };
        let (task, registration) = AbortHandle::new_pair();
        // It may have made room for another on its way.
        if server.crowd.served_by(arrival.seat.id(), task) {
            let connection = Arc::clone(&server).serve(arrival, stop.clone());
            connections.spawn(Abortable::new(connection, registration));
        }
    };
    loop {
        tokio::select! {
            biased;
            () = stop.cancelled() => break,
            // Reaped as they end, so that the set holds the living only.
            Some(_) = connections.join_next() => {}
            arrival = arrivals.recv() => match arrival {
                Some(arrival) => serve(arrival, &mut connections),
                None => break,
            },
        }
    }
    while let Ok(arrival) = arrivals.try_recv() {
        serve(arrival, &mut connections);
    }
    let strangers_end = sleep(STRANGERS_STOP);
    tokio::pin!(strangers_end);
    loop {
        tokio::select! {
            biased;
            () = abort.cancelled() => break,
            ended = connections.join_next() => if ended.is_none() { break },
            // Nobody's requests but those of teams and runners are worth the wait.
            () = &mut strangers_end, if !strangers_end.is_elapsed() => server.crowd.cut_strangers(),
        }
    }
    let cut = connections.len();
    connections.shutdown().await;
    drop(arrivals);
    if let Err(death) = lobby.await {
        // It is not cancelled, so it has panicked; whoever serves is to know.
        std::panic::resume_unwind(death.into_panic());
    }
    Ended { cut }
}

/// A connection that nobody serves yet.
struct Arrival<S = TcpStream> {
    stream: S,
    peer: SocketAddr,
    seat: Seat,
    /// When it was accepted.
    since: Instant,
    /// Its parts of all connections, and of those that are served.
    permits: Vec<OwnedSemaphorePermit>,
}

/// A connection on its way from the lobby to those who serve.
type HandedOver = Arrival<std::net::TcpStream>;

impl<S> Arrival<S> {
    fn with(mut self, permit: Option<OwnedSemaphorePermit>) -> Self {
        self.permits.extend(permit);
        self
    }

    /// The same with its stream as another type.
    fn convert<T>(self, convert: impl FnOnce(S) -> io::Result<T>) -> io::Result<Arrival<T>> {
        let Self { stream, peer, seat, since, permits } = self;
        Ok(Arrival { stream: convert(stream)?, peer, seat, since, permits })
    }
}

/// What all connections share.
struct Serving {
    router: Router,
    limits: ServeLimits,
    builder: http1::Builder,
    crowd: Crowd,
    budgets: Arc<Budgets>,
}

impl Serving {
    fn new(router: Router, limits: ServeLimits) -> Self {
        let mut builder = http1::Builder::new();
        // The socket watches the time of heads itself, as it has an answer for those that are late.
        builder.timer(TokioTimer::new()).header_read_timeout(None).max_buf_size(limits.head_bytes);
        let crowd = Crowd::new(limits.bounds());
        let budgets = Arc::new(Budgets::new(limits.body_budget_bytes));
        Self { router, limits, builder, crowd, budgets }
    }

    /// The next connection, with a seat in the crowd.
    async fn accept(&self, listener: &TcpListener) -> Option<Arrival> {
        let (stream, peer) = match listener.accept().await {
            Ok(accepted) => accepted,
            Err(error) => {
                if !is_of_the_connection(&error) {
                    tracing::error!(error = &error as &dyn std::error::Error, "cannot accept connections");
                    self.crowd.make_room();
                    sleep(ACCEPT_PAUSE).await;
                }
                return None;
            }
        };
        let address = peer.ip().to_canonical();
        let near = address.is_loopback() || self.limits.trusted_proxies.contain(address);
        let Some(seat) = self.crowd.enter(address, near) else {
            // What does not fit into the socket's buffer is not worth waiting for.
            let _ = stream.try_write(&answers::closing(&answers::full()));
            return None;
        };
        // Answers are small and wanted at once; a socket that refuses the option works all the same.
        if let Err(error) = stream.set_nodelay(true) {
            tracing::debug!(%peer, error = &error as &dyn std::error::Error, "TCP_NODELAY not set");
        }
        // Of an answer that is not read, the kernel holds no more than this and what the reader has asked for.
        if let Err(error) = SockRef::from(&stream).set_tcp_notsent_lowat(MOST_UNSENT_BYTES) {
            tracing::debug!(%peer, error = &error as &dyn std::error::Error, "TCP_NOTSENT_LOWAT not set");
        }
        Some(Arrival { stream, peer, seat, since: Instant::now(), permits: Vec::new() })
    }

    /// Waits until there is room for one more connection, which one that is idle makes.
    async fn room(&self, permits: &Arc<Semaphore>) -> Option<OwnedSemaphorePermit> {
        let mut free = Arc::clone(permits).try_acquire_owned().ok();
        while free.is_none() {
            self.crowd.make_room();
            free = timeout(ROOM_PAUSE, Arc::clone(permits).acquire_owned()).await.ok().and_then(Result::ok);
        }
        free
    }

    /// A place among those who are served, if one is free or one that is idle makes room.
    async fn place(&self, places: &Arc<Semaphore>) -> Option<OwnedSemaphorePermit> {
        if let Ok(free) = Arc::clone(places).try_acquire_owned() {
            return Some(free);
        }
        self.crowd.make_room();
        timeout(ROOM_PAUSE, Arc::clone(places).acquire_owned()).await.ok().and_then(Result::ok)
    }

    /// Serves one connection until it ends.
    async fn serve(self: Arc<Self>, arrival: Arrival, stop: CancellationToken) {
        self.serve_with(&self.builder, arrival, stop).await;
    }

    /// Serves one connection until its first request is answered.
    async fn serve_once(self: Arc<Self>, arrival: Arrival, stop: CancellationToken) {
        let mut builder = self.builder.clone();
        builder.keep_alive(false);
        self.serve_with(&builder, arrival, stop).await;
    }

    async fn serve_with(&self, builder: &http1::Builder, arrival: Arrival, stop: CancellationToken) {
        let Arrival { stream, peer, seat, since, permits: _permits } = arrival;
        let connection = Arc::new(Connection::new(seat));
        let socket = Socket::new(stream, Arc::clone(&connection), self.limits.patience(), since);
        let service = service_fn(|request| self.answer(peer, &connection, request));
        let served = builder.serve_connection(TokioIo::new(socket), service);
        tokio::pin!(served);
        let ended = tokio::select! {
            ended = served.as_mut() => ended,
            () = stop.cancelled() => {
                served.as_mut().graceful_shutdown();
                served.await
            }
        };
        if let Err(error) = ended {
            // Clients vanish, stall and talk nonsense all the time; none of it is the server's failure.
            tracing::debug!(%peer, error = &error as &dyn std::error::Error, "connection ended early");
        }
    }

    /// Answers one request.
    fn answer(
        &self,
        peer: SocketAddr,
        connection: &Arc<Connection>,
        request: Request<Incoming>,
    ) -> impl Future<Output = Result<Response<Answer<axum::body::Body>>, std::convert::Infallible>> + use<>
    {
        let body = request.body();
        let linger = body.size_hint().upper().is_none_or(|bytes| bytes > SMALL_BODY_BYTES);
        connection.has_request(body.is_end_stream(), linger);
        let refused = host::check(request.version(), request.headers()).err();
        let client = self.limits.trusted_proxies.client(peer.ip(), request.headers());
        let intake = Intake::new(Arc::clone(connection), Arc::clone(&self.budgets));
        let mut request = request.map(|body| Watched::new(body, intake.clone(), self.limits.body()));
        request.extensions_mut().insert(PeerAddr(SocketAddr::new(client, peer.port())));
        request.extensions_mut().insert(intake.clone());
        let connection = Arc::clone(connection);
        let answered = match refused {
            Some(refusal) => Either::Left(ready(Ok(refusal.into_response()))),
            None => Either::Right(self.router.clone().oneshot(request)),
        };
        async move {
            let response = answered.await?;
            // Until here it counts what the request has brought.
            drop(intake);
            Ok(response.map(|body| Answer::new(body, connection)))
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
