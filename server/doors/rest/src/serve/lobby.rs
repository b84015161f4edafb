//! Where connections wait for their first byte: on a thread of its own, so that they are accepted as fast as they come.
//!
//! The tasks that answer requests take turns. If connections were accepted in between, thousands of strangers who ask for something would
//! let the kernel's queue overflow, and who comes then asks again after a second (RFC 6298, section 2). Here a connection costs
//! next to nothing until it has sent something. Who asks for the server's health, as those do who restart it when it is late,
//! is answered on the spot.

use std::pin::pin;
use std::sync::Arc;

use futures_util::StreamExt as _;
use futures_util::future::{AbortHandle, Abortable};
use futures_util::stream::FuturesUnordered;
use tokio::net::TcpListener;
use tokio::runtime::Handle;
use tokio::sync::{Semaphore, mpsc};
use tokio::task::{JoinHandle, spawn_blocking};
use tokio::time::timeout_at;
use tokio_util::sync::CancellationToken;

use super::{Arrival, Serving};

/// Connections that have sent something and are not served yet.
const MOST_READY: usize = 64;

/// How requests begin that ask whether the server is well.
const PROBES: [&[u8]; 2] = [b"GET /health ", b"GET /ready "];
/// As long as the longest of them.
const FIRST_BYTES: usize = 12;

/// Opens the lobby. What comes out of it has sent something. When `stop` is cancelled it accepts no more, and when nobody takes what comes
/// out of it, it closes.
pub(super) fn open(
    listener: TcpListener,
    server: Arc<Serving>,
    stop: CancellationToken,
) -> (mpsc::Receiver<Arrival>, JoinHandle<()>) {
    let (ready, arrivals) = mpsc::channel(MOST_READY);
    let runtime = Handle::current();
    let lobby = spawn_blocking(move || runtime.block_on(receive(listener, &server, &ready, &stop)));
    (arrivals, lobby)
}

async fn receive(
    listener: TcpListener,
    server: &Arc<Serving>,
    ready: &mpsc::Sender<Arrival>,
    stop: &CancellationToken,
) {
    let permits = Arc::new(Semaphore::new(server.limits.connections));
    let mut waiting = FuturesUnordered::new();
    {
        // Both go on while others are looked after: either may pause.
        let mut accept = pin!(server.accept(&listener));
        let mut room = pin!(server.room(&permits));
        let mut newcomer = None;
        // In no order: neither those who come nor those who are there have to wait for the others.
        loop {
            tokio::select! {
                () = stop.cancelled() => break,
                () = ready.closed() => return,
                accepted = &mut accept, if newcomer.is_none() => {
                    accept.set(server.accept(&listener));
                    newcomer = accepted;
                }
                permit = &mut room, if newcomer.is_some() => {
                    room.set(server.room(&permits));
                    let Some(newcomer) = newcomer.take() else { continue };
                    let (task, registration) = AbortHandle::new_pair();
                    let arrival = newcomer.with(permit);
                    server.crowd.served_by(arrival.seat.id(), task);
                    waiting.push(Abortable::new(first_byte(arrival, server, ready, stop), registration));
                }
                Some(_) = waiting.next() => {}
            }
        }
    }
    drop(listener);
    // Whoever has asked is answered still.
    tokio::select! {
        () = ready.closed() => {}
        () = waiting.for_each(|_| std::future::ready(())) => {}
    }
}

/// Waits until a connection has sent something, and hands it on.
async fn first_byte(
    arrival: Arrival,
    server: &Arc<Serving>,
    ready: &mpsc::Sender<Arrival>,
    stop: &CancellationToken,
) {
    let mut first = [0; FIRST_BYTES];
    let count = tokio::select! {
        peeked = timeout_at(arrival.since + server.limits.head, arrival.stream.peek(&mut first)) => match peeked {
            Ok(Ok(count)) => count,
            // Nothing has come, or the client has gone.
            Ok(Err(_)) | Err(_) => return,
        },
        () = stop.cancelled() => return,
    };
    let first = &first[..count];
    if PROBES.iter().any(|probe| first.starts_with(probe)) {
        Arc::clone(server).serve_once(arrival, stop.clone()).await;
    } else if !first.is_empty() {
        // Nobody takes it when serving has ended.
        let _ = ready.send(arrival).await;
    }
}
