//! A connection's socket, with what the HTTP library leaves to it.
//!
//! **A head that comes too slowly** is answered with 408, and a connection that is idle for too long is closed.
//!
//! **A head that is refused** gets an answer like any other error. The library's own answer has no body; it is the only thing that
//! it writes while no request is being answered, and is replaced on its way.
//!
//! **A client that does not read its answer** is given up: else it would keep its connection, and whatever the answer
//! holds, for ever.
//!
//! **A request that was answered before its body had come**: a socket that is closed with unread bytes in it resets
//! the connection, and the reset overtakes the answer, so that a client that uploads too much, or without a token,
//! would see a broken pipe instead of the reason. So the answer is finished, and what still comes is read and thrown
//! away until the client has stopped too (RFC 9112, section 9.6).

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio::time::{Instant, Sleep, sleep, sleep_until};

use super::answers;
use super::connection::{Connection, Phase};

/// How long a client gets to read a refusal and stop sending.
const LINGER: Duration = Duration::from_secs(2);
/// Bytes thrown away at a time.
const SCRAP_BYTES: usize = 4 * 1024;
/// What a client has to take of its answer within [`Patience::write_stall`].
const LEAST_READ_BYTES: usize = 64 * 1024;

/// How long a client is waited for.
#[derive(Debug, Clone, Copy)]
pub(super) struct Patience {
    /// For a head: from its first byte, and for the first one from the start of the connection.
    pub(super) head: Duration,
    /// For the next request.
    pub(super) idle: Duration,
    /// For a client to read more of its answer.
    pub(super) write_stall: Duration,
    /// Largest head, for the answer that refuses it.
    pub(super) head_bytes: usize,
}

/// The socket.
pub(super) struct Socket {
    stream: TcpStream,
    connection: Arc<Connection>,
    patience: Patience,
    head: Head,
    reader: Reader,
    /// An answer of its own, and how much of it was sent.
    own: Option<(Vec<u8>, usize)>,
    lingering: bool,
    timer: Option<Pin<Box<Sleep>>>,
}

/// The head that is waited for.
struct Head {
    /// Until when it has to be there, or at least begin.
    until: Instant,
    begun: bool,
    /// Whether all of its first line is there. That is known of a connection's first head only: later ones may have begun
    /// together with the one before.
    first_line: bool,
}

/// How the client reads its answer.
#[derive(Default)]
struct Reader {
    /// How long it was waited for since `taken` bytes ago.
    waited: Duration,
    waiting_since: Option<Instant>,
    taken: usize,
}

impl Socket {
    /// `since`: when the connection was accepted.
    pub(super) fn new(
        stream: TcpStream,
        connection: Arc<Connection>,
        patience: Patience,
        since: Instant,
    ) -> Self {
        let head = Head { until: since + patience.head, begun: false, first_line: false };
        let reader = Reader::default();
        Self { stream, connection, patience, head, reader, own: None, lingering: false, timer: None }
    }

    /// Polls the one timer for this moment.
    fn is_over(&mut self, until: Instant, cx: &mut Context<'_>) -> bool {
        let timer = self.timer.get_or_insert_with(|| Box::pin(sleep_until(until)));
        if timer.deadline() != until {
            timer.as_mut().reset(until);
        }
        timer.as_mut().poll(cx).is_ready()
    }

    /// A part of a head has come; false when it came too late.
    fn head_came(&mut self, bytes: &[u8]) -> bool {
        let now = Instant::now();
        if !self.head.begun {
            self.head.begun = true;
            self.head.until = self.head.until.min(now + self.patience.head);
        }
        self.head.first_line |= bytes.contains(&b'\n');
        now < self.head.until
    }

    /// A head has not come: 408 when it has begun to, else nothing, and the end.
    fn head_too_late(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if !self.head.begun {
            return Poll::Ready(Ok(()));
        }
        let seconds = self.patience.head.as_secs();
        self.own.get_or_insert_with(|| (answers::closing(&answers::head_too_slow(seconds)), 0));
        self.connection.leaves_something();
        // What cannot be sent at once is not worth waiting for.
        let _ = self.poll_own(cx);
        Poll::Ready(Ok(()))
    }

    /// Sends what is left of its own answer.
    fn poll_own(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let Some((answer, sent)) = &mut self.own else { return Poll::Ready(Ok(())) };
        while *sent < answer.len() {
            match ready!(Pin::new(&mut self.stream).poll_write(cx, &answer[*sent..])) {
                Ok(0) => return Poll::Ready(Err(io::ErrorKind::WriteZero.into())),
                Ok(more) => *sent += more,
                Err(error) => return Poll::Ready(Err(error)),
            }
        }
        Poll::Ready(Ok(()))
    }

    /// The library's own refusal of a head, replaced; none: an answer that is to be let through.
    fn replaced(
        &mut self,
        cx: &mut Context<'_>,
        first: &[u8],
        length: usize,
    ) -> Option<Poll<io::Result<usize>>> {
        if self.own.is_none() {
            if self.connection.is_answering() {
                return None;
            }
            let error = answers::of_refused_head(first, self.head.first_line, self.patience.head_bytes);
            self.own = Some((answers::closing(&error), 0));
            self.connection.leaves_something();
        }
        let sent = self.poll_own(cx);
        Some(self.watched(cx, sent.map_ok(|()| length)))
    }

    /// Lets a finished write through; one that has waited for too long becomes an error.
    fn watched(&mut self, cx: &mut Context<'_>, write: Poll<io::Result<usize>>) -> Poll<io::Result<usize>> {
        let now = Instant::now();
        let reader = &mut self.reader;
        let since = reader.waiting_since.take();
        if since.is_none() && write.is_ready() {
            // Nearly always: the client keeps up.
            return write;
        }
        reader.waited += since.map_or(Duration::ZERO, |since| now - since);
        if let Poll::Ready(Ok(taken)) = &write {
            reader.taken += taken;
        }
        if reader.taken >= LEAST_READ_BYTES {
            *reader = Reader::default();
        }
        let left = self.patience.write_stall.checked_sub(reader.waited).filter(|left| !left.is_zero());
        if write.is_ready() && left.is_some() {
            return write;
        }
        self.reader.waiting_since = Some(now);
        // Whoever is known may read slowly; a stranger who does makes room for others.
        self.connection.seat.stalls();
        if left.is_some_and(|left| !self.is_over(now + left, cx)) {
            return Poll::Pending;
        }
        Poll::Ready(Err(io::Error::new(io::ErrorKind::TimedOut, "the client does not read its answer")))
    }
}

impl AsyncRead for Socket {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        if this.connection.phase() == Phase::Answered {
            this.connection.waits();
            this.reader = Reader::default();
            this.head = Head { until: Instant::now() + this.patience.idle, begun: false, first_line: true };
        }
        let before = buf.filled().len();
        let read = Pin::new(&mut this.stream).poll_read(cx, buf);
        if this.connection.phase() != Phase::Head {
            return read;
        }
        let came = &buf.filled()[before..];
        let in_time = match &read {
            Poll::Ready(Ok(())) if !came.is_empty() => this.head_came(came),
            Poll::Ready(_) => true,
            Poll::Pending => !this.is_over(this.head.until, cx),
        };
        if in_time {
            return read;
        }
        buf.set_filled(before);
        this.head_too_late(cx)
    }
}

impl AsyncWrite for Socket {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        if let Some(replaced) = self.replaced(cx, buf, buf.len()) {
            return replaced;
        }
        let write = Pin::new(&mut self.stream).poll_write(cx, buf);
        self.watched(cx, write)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let (first, length) =
            (bufs.first().map_or(&[][..], |buf| buf), bufs.iter().map(|buf| buf.len()).sum());
        if let Some(replaced) = self.replaced(cx, first, length) {
            return replaced;
        }
        let write = Pin::new(&mut self.stream).poll_write_vectored(cx, bufs);
        self.watched(cx, write)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        // The library flushes when it has written everything.
        ready!(Pin::new(&mut self.stream).poll_flush(cx))?;
        self.connection.has_flushed();
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        if !this.lingering {
            ready!(Pin::new(&mut this.stream).poll_shutdown(cx))?;
            if !this.connection.lingers() {
                return Poll::Ready(Ok(()));
            }
            this.lingering = true;
            this.timer = Some(Box::pin(sleep(LINGER)));
        }
        let mut scrap = [0; SCRAP_BYTES];
        loop {
            if this.timer.as_mut().is_none_or(|timer| timer.as_mut().poll(cx).is_ready()) {
                return Poll::Ready(Ok(()));
            }
            let mut buf = ReadBuf::new(&mut scrap);
            match ready!(Pin::new(&mut this.stream).poll_read(cx, &mut buf)) {
                Ok(()) if !buf.filled().is_empty() => {}
                // The client has stopped, in order or not.
                Ok(()) | Err(_) => return Poll::Ready(Ok(())),
            }
        }
    }
}
