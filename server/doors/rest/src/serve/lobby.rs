//! Where connections wait for their first byte: on a thread of its own, so that they are accepted as fast as they come.
//!
//! The tasks that answer requests take turns. If connections were accepted in between, thousands of strangers who ask for something would
//! let the kernel's queue overflow, and who comes then asks again after a second (RFC 6298, section 2). Here a connection costs
//! next to nothing until it has sent something. Who asks for the server's health, as those do who restart it when it is late,
//! is answered on the spot.
//!
//! A part of all connections is kept for those who come: where the others are all busy, newcomers are told so, and whoever asks for the
//! server's health is answered still.

use std::pin::pin;
use std::sync::Arc;

use futures_util::StreamExt as _;
use futures_util::future::{AbortHandle, Abortable};
use futures_util::stream::FuturesUnordered;
use tokio::net::{TcpListener, TcpStream};
use tokio::runtime::Builder;
use tokio::sync::{Semaphore, mpsc};
use tokio::task::{JoinHandle, spawn_blocking};
use tokio::time::timeout_at;
use tokio_util::sync::CancellationToken;

use super::{Arrival, HandedOver, Serving, answers};

/// Connections that have sent something and are not served yet.
const MOST_READY: usize = 64;

/// What is read of a request for which there is no place.
const MOST_READ_BYTES: usize = 4 * 1024;
/// How requests begin that ask whether the server is well.
const PROBES: [&[u8]; 2] = [b"GET /health", b"GET /ready"];
/// Longest head of such a request that is known here.
const FIRST_BYTES: usize = 1024;

/// Opens the lobby. What comes out of it has sent something. When `stop` is cancelled it accepts no more, and when nobody takes what comes
/// out of it, it closes.
pub(super) fn open(
    listener: TcpListener,
    server: Arc<Serving>,
    stop: CancellationToken,
) -> (mpsc::Receiver<HandedOver>, JoinHandle<()>) {
    let (ready, arrivals) = mpsc::channel(MOST_READY);
    let lobby = spawn_blocking(move || {
        // With its own way to the kernel: the one of those who serve is looked at between their tasks only.
        let opened = listener.into_std().and_then(|listener| {
            let runtime = Builder::new_current_thread().enable_all().build()?;
            let listener = runtime.block_on(async { TcpListener::from_std(listener) })?;
            Ok((runtime, listener))
        });
        match opened {
            Ok((runtime, listener)) => runtime.block_on(receive(listener, &server, &ready, &stop)),
            // Whoever serves finds that nobody comes any more.
            Err(error) => {
                tracing::error!(error = &error as &dyn std::error::Error, "cannot accept connections");
            }
        }
    });
    (arrivals, lobby)
}

async fn receive(
    listener: TcpListener,
    server: &Arc<Serving>,
    ready: &mpsc::Sender<HandedOver>,
    stop: &CancellationToken,
) {
    let permits = Arc::new(Semaphore::new(server.limits.connections));
    let places = Arc::new(Semaphore::new(server.limits.connections - server.limits.kept_for_newcomers()));
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
                    let first = first_byte(arrival, server, &places, ready, stop);
                    waiting.push(Abortable::new(first, registration));
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
    places: &Arc<Semaphore>,
    ready: &mpsc::Sender<HandedOver>,
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
    if first.is_empty() {
        return;
    }
    if is_probe(first) {
        return Arc::clone(server).serve_once(arrival, stop.clone()).await;
    }
    // It has asked for something, and is told if there is no place.
    arrival.seat.busy();
    let Some(place) = server.place(places).await else {
        // What is left unread resets the connection, and the reset overtakes the answer.
        let _ = arrival.stream.try_read(&mut [0; MOST_READ_BYTES]);
        let _ = arrival.stream.try_write(&answers::closing(&answers::full()));
        return;
    };
    // Neither fails but for a connection that is gone.
    let Ok(arrival) = arrival.with(Some(place)).convert(TcpStream::into_std) else { return };
    let _ = ready.send(arrival).await;
}

/// Whether this is the whole of a request, without a body, that asks whether the server is well.
fn is_probe(first: &[u8]) -> bool {
    let is_asked = |probe: &&[u8]| {
        first.strip_prefix(*probe).is_some_and(|rest| rest.starts_with(b" ") || rest.starts_with(b"?"))
    };
    let Some(head) = first.strip_suffix(b"\r\n\r\n") else { return false };
    let mut lines = head.split(|&byte| byte == b'\n').skip(1);
    let has_body = |line: &[u8]| {
        [&b"content-length"[..], b"transfer-encoding", b"expect", b"\r"]
            .iter()
            .any(|name| line.get(..name.len()).is_some_and(|begin| begin.eq_ignore_ascii_case(name)))
    };
    PROBES.iter().any(is_asked) && !lines.any(has_body)
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    #[rstest]
    #[case::health("GET /health HTTP/1.1\r\nHost: a\r\n\r\n", true)]
    #[case::ready("GET /ready?full_is_ready=true HTTP/1.1\r\nHost: a\r\nAccept: */*\r\n\r\n", true)]
    #[case::begun("GET /health HTTP/1.1\r\nHost: a\r\n", false)]
    #[case::another("GET /healthy HTTP/1.1\r\nHost: a\r\n\r\n", false)]
    #[case::a_body("GET /health HTTP/1.1\r\nHost: a\r\ncontent-LENGTH: 9\r\n\r\n", false)]
    #[case::chunks("GET /health HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n", false)]
    #[case::two("GET /health HTTP/1.1\r\n\r\nGET /health HTTP/1.1\r\n\r\n", false)]
    #[case::nothing("", false)]
    fn probes(#[case] first: &str, #[case] expected: bool) {
        assert_eq!(is_probe(first.as_bytes()), expected);
    }
}
