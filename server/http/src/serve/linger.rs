//! The end of a connection whose request was answered before its body had come.
//!
//! A socket that is closed with unread bytes in it resets the connection, and the reset overtakes the answer: a
//! client that uploads too much, or without a token, would see a broken pipe instead of the reason. So the answer is
//! finished, and what still comes is read and thrown away until the client has stopped too (RFC 9112, section 9.6).

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio::time::{Sleep, sleep};

/// How long a client gets to read its answer and stop.
const LONGEST: Duration = Duration::from_secs(2);
/// Bytes thrown away at a time.
const SCRAP_BYTES: usize = 16 * 1024;

/// A connection that may linger at its end.
pub(super) struct Lingering {
    stream: TcpStream,
    wanted: Arc<AtomicBool>,
    until: Option<Pin<Box<Sleep>>>,
}

impl Lingering {
    /// `wanted` says, when the connection ends, whether its last request may have left a body behind.
    pub(super) fn new(stream: TcpStream, wanted: Arc<AtomicBool>) -> Self {
        Self { stream, wanted, until: None }
    }
}

impl AsyncRead for Lingering {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(cx, buf)
    }
}

impl AsyncWrite for Lingering {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(cx, buf)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write_vectored(cx, bufs)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let Self { stream, wanted, until } = self.get_mut();
        if until.is_none() {
            ready!(Pin::new(&mut *stream).poll_shutdown(cx))?;
            if !wanted.load(Ordering::Relaxed) {
                return Poll::Ready(Ok(()));
            }
        }
        let until = until.get_or_insert_with(|| Box::pin(sleep(LONGEST)));
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
