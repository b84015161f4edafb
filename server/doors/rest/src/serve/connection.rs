//! What a connection's parts know together: its socket, its requests and its answers.

use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU8, Ordering};
use std::task::{Context, Poll};

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};

use super::crowd::Seat;

/// Where a connection stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Phase {
    /// A head is waited for, or coming.
    Head,
    /// A request has come, and its answer is being made.
    Request,
    /// The answer has been made.
    Answered,
}

/// One connection.
#[derive(Debug)]
pub(super) struct Connection {
    phase: AtomicU8,
    /// There is an answer that has not been sent as a whole.
    due: AtomicBool,
    /// Whether the last request may leave a part of its body behind.
    linger: AtomicBool,
    /// Its place in the crowd.
    pub(super) seat: Seat,
}

impl Connection {
    pub(super) fn new(seat: Seat) -> Self {
        let (due, linger) = (AtomicBool::new(false), AtomicBool::new(false));
        Self { phase: AtomicU8::new(Phase::Head as u8), due, linger, seat }
    }

    pub(super) fn phase(&self) -> Phase {
        match self.phase.load(Ordering::Relaxed) {
            0 => Phase::Head,
            1 => Phase::Request,
            _ => Phase::Answered,
        }
    }

    /// The next head is waited for.
    pub(super) fn waits(&self) {
        self.phase.store(Phase::Head as u8, Ordering::Relaxed);
        self.seat.waits();
    }

    /// A request has come. One without a body is complete with its head; a stranger's body may still be cut off.
    pub(super) fn has_request(&self, complete: bool, linger: bool) {
        self.phase.store(Phase::Request as u8, Ordering::Relaxed);
        self.linger.store(linger, Ordering::Relaxed);
        if complete {
            self.seat.busy();
        }
    }

    /// Everything that was written has left.
    pub(super) fn has_flushed(&self) {
        if self.phase() != Phase::Request {
            self.due.store(false, Ordering::Relaxed);
        }
    }

    /// Whether what is written now is an answer to a request; else the HTTP library refuses a head by itself.
    pub(super) fn is_answering(&self) -> bool {
        self.phase() == Phase::Request || self.due.load(Ordering::Relaxed)
    }

    pub(super) fn lingers(&self) -> bool {
        self.linger.load(Ordering::Relaxed)
    }

    /// Something unread is left behind.
    pub(super) fn leaves_something(&self) {
        self.linger.store(true, Ordering::Relaxed);
    }
}

/// An answer's body. The answer has been made when it is dropped.
pub(super) struct Answer<B> {
    body: B,
    connection: Arc<Connection>,
}

impl<B> Answer<B> {
    pub(super) fn new(body: B, connection: Arc<Connection>) -> Self {
        connection.due.store(true, Ordering::Relaxed);
        Self { body, connection }
    }
}

impl<B> Drop for Answer<B> {
    fn drop(&mut self) {
        self.connection.phase.store(Phase::Answered as u8, Ordering::Relaxed);
    }
}

impl<B: Body<Data = Bytes> + Unpin> Body for Answer<B> {
    type Data = Bytes;
    type Error = B::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, B::Error>>> {
        Pin::new(&mut self.body).poll_frame(cx)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
