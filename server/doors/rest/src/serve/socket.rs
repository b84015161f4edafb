//! A connection's socket, with two things the HTTP library leaves to it.
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
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio::time::{Sleep, sleep};

/// How long a client gets to read a refusal and stop sending.
const LINGER: Duration = Duration::from_secs(2);
/// Bytes thrown away at a time.
const SCRAP_BYTES: usize = 16 * 1024;

/// The socket.
pub(super) struct Socket {
    stream: TcpStream,
    write_stall: Duration,
    stalled: Option<Pin<Box<Sleep>>>,
    linger: Arc<AtomicBool>,
    lingering: Option<Pin<Box<Sleep>>>,
}

impl Socket {
    /// A socket whose client may leave an answer unread for `write_stall`. `linger` says, when the connection ends,
    /// whether its last request may have left a body behind.
    pub(super) fn new(stream: TcpStream, write_stall: Duration, linger: Arc<AtomicBool>) -> Self {
        Self { stream, write_stall, stalled: None, linger, lingering: None }
    }

    /// Lets a finished write through; one that has waited for too long becomes an error.
    fn watched(&mut self, cx: &mut Context<'_>, write: Poll<io::Result<usize>>) -> Poll<io::Result<usize>> {
        if write.is_ready() {
            self.stalled = None;
            return write;
        }
        let after = self.write_stall;
        let stalled = self.stalled.get_or_insert_with(|| Box::pin(sleep(after)));
        ready!(stalled.as_mut().poll(cx));
        Poll::Ready(Err(io::Error::new(io::ErrorKind::TimedOut, "the client does not read its answer")))
    }
}

impl AsyncRead for Socket {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(cx, buf)
    }
}

impl AsyncWrite for Socket {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        let write = Pin::new(&mut self.stream).poll_write(cx, buf);
        self.watched(cx, write)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let write = Pin::new(&mut self.stream).poll_write_vectored(cx, bufs);
        self.watched(cx, write)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let Self { stream, linger, lingering, .. } = self.get_mut();
        if lingering.is_none() {
            ready!(Pin::new(&mut *stream).poll_shutdown(cx))?;
            if !linger.load(Ordering::Relaxed) {
                return Poll::Ready(Ok(()));
            }
        }
        let until = lingering.get_or_insert_with(|| Box::pin(sleep(LINGER)));
        let mut scrap = [0; SCRAP_BYTES];
        loop {
            if until.as_mut().poll(cx).is_ready() {
                return Poll::Ready(Ok(()));
            }
            let mut buf = ReadBuf::new(&mut scrap);
            match ready!(Pin::new(&mut *stream).poll_read(cx, &mut buf)) {
                Ok(()) if !buf.filled().is_empty() => {}
                // The client has stopped, in order or not.
                Ok(()) | Err(_) => return Poll::Ready(Ok(())),
            }
        }
    }
}
