//! Request bodies on their way in: how large a stranger's may be, how slowly anyone's may come, and how much memory all of them take.
//!
//! **Memory.** All bodies share one budget, of which strangers have a fourth to themselves and no more. Each body may hold as much as is
//! still free: one large body among few may be large, and however many large ones there are, small ones always find room. What a handler
//! hands on at once (an upload to disk) counts by its newest piece only.
//!
//! **Time.** A stranger's whole body has a deadline. Whoever has shown a token may take long, as long as something comes.

use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use hyper::body::Incoming;
use minitower_vocabulary::wire::error::ErrorCode;
use tokio::time::{Instant, Sleep, sleep_until};

use super::connection::Connection;
use crate::ApiError;

/// What a body may do.
#[derive(Debug, Clone, Copy)]
pub(super) struct BodyLimits {
    /// Bytes of a stranger's body.
    pub(super) stranger_bytes: u64,
    /// How long a stranger's whole body may take.
    pub(super) stranger_time: Duration,
    /// How long anyone's body may be waited for, all in all, before `least_bytes` more have come.
    pub(super) stall: Duration,
    /// What has to come in that time.
    pub(super) least_bytes: u64,
    /// A body of this size is taken even where the share of each is smaller.
    pub(super) small_bytes: u64,
}

/// The memory that all bodies together may take.
#[derive(Debug)]
pub(super) struct Budgets {
    strangers: Budget,
    known: Budget,
}

impl Budgets {
    pub(super) fn new(total: u64) -> Self {
        Self { strangers: Budget::new(total / 4), known: Budget::new(total - total / 4) }
    }
}

/// The memory that bodies of one kind together may take.
#[derive(Debug)]
struct Budget {
    total: u64,
    taken: AtomicU64,
}

impl Budget {
    fn new(total: u64) -> Self {
        Self { total, taken: AtomicU64::new(0) }
    }

    /// Takes `bytes` more for a body that holds `held`; false when that is more than its share.
    fn take(&self, held: u64, bytes: u64, small: u64) -> bool {
        let taken = self.taken.fetch_add(bytes, Ordering::Relaxed) + bytes;
        let free = self.total.saturating_sub(taken);
        let fits = taken <= self.total && (held + bytes <= small || held + bytes <= free);
        if !fits {
            self.taken.fetch_sub(bytes, Ordering::Relaxed);
        }
        fits
    }

    fn give_back(&self, bytes: u64) {
        self.taken.fetch_sub(bytes, Ordering::Relaxed);
    }
}

/// Why a body is read no further.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(crate) enum BodyRefused {
    #[error("the body is over the limit of {0} bytes")]
    TooLarge(u64),
    #[error("the body came too slowly")]
    TooSlow,
    #[error("the bodies of all requests together take too much memory")]
    NoRoom,
}

impl BodyRefused {
    /// The refusal among the causes of an error that came out of a body.
    pub(crate) fn cause_of(error: &(dyn std::error::Error + 'static)) -> Option<ApiError> {
        let mut causes = std::iter::successors(Some(error), |error| error.source());
        causes.find_map(|error| error.downcast_ref::<Self>()).map(|refused| refused.answer())
    }

    fn answer(self) -> ApiError {
        match self {
            Self::TooLarge(limit) => ApiError::payload_too_large("the request body", limit),
            Self::TooSlow => ApiError::new(ErrorCode::RequestTimeout, "the request body came too slowly"),
            Self::NoRoom => ApiError::new(
                ErrorCode::Unavailable,
                "the server is receiving as much as it has memory for: nothing was changed, try again",
            )
            .with_retry_after(Duration::from_secs(1)),
        }
    }
}

/// A request that is being received, as its handler and its guard see it. A cheap clone, in the request's extensions.
#[derive(Debug, Clone)]
pub(crate) struct Intake(Arc<Received>);

#[derive(Debug)]
struct Received {
    connection: Arc<Connection>,
    budgets: Arc<Budgets>,
    /// What counts against the budget.
    held: AtomicU64,
    /// Decided by the guard, before any of the body is read.
    known: AtomicBool,
    streamed: AtomicBool,
}

impl Drop for Received {
    fn drop(&mut self) {
        let held = *self.held.get_mut();
        self.budget().give_back(held);
    }
}

impl Received {
    fn budget(&self) -> &Budget {
        if self.known.load(Ordering::Relaxed) { &self.budgets.known } else { &self.budgets.strangers }
    }
}

impl Intake {
    pub(super) fn new(connection: Arc<Connection>, budgets: Arc<Budgets>) -> Self {
        Self(Arc::new(Received {
            connection,
            budgets,
            held: AtomicU64::new(0),
            known: AtomicBool::new(false),
            streamed: AtomicBool::new(false),
        }))
    }

    /// That of a request; none when it came over no connection.
    pub(crate) fn of<B>(request: &http::Request<B>) -> Option<&Self> {
        request.extensions().get()
    }

    /// The request has shown this good token; false when too many requests show it at a time.
    pub(crate) fn has_shown(&self, token: u64) -> bool {
        self.0.known.store(true, Ordering::Relaxed);
        let seat = &self.0.connection.seat;
        let room = seat.belongs_to(token);
        seat.busy();
        room
    }

    /// The handler keeps nothing of what it is given: each piece frees the one before.
    pub(crate) fn is_streamed(&self) {
        self.0.streamed.store(true, Ordering::Relaxed);
    }

    fn take(&self, bytes: u64, limits: &BodyLimits) -> Result<(), BodyRefused> {
        let received = &self.0;
        if received.streamed.load(Ordering::Relaxed) {
            received.budget().give_back(received.held.swap(0, Ordering::Relaxed));
        }
        let held = received.held.load(Ordering::Relaxed);
        if !received.budget().take(held, bytes, limits.small_bytes) {
            return Err(BodyRefused::NoRoom);
        }
        received.held.store(held + bytes, Ordering::Relaxed);
        Ok(())
    }

    fn is_known(&self) -> bool {
        self.0.known.load(Ordering::Relaxed)
    }
}

/// A request's body, watched.
pub(super) struct Watched<B = Incoming> {
    body: B,
    intake: Intake,
    limits: BodyLimits,
    began: Instant,
    bytes: u64,
    /// How long it was waited for since `since_progress` bytes ago.
    waited: Duration,
    since_progress: u64,
    waiting_since: Option<Instant>,
    timer: Option<Pin<Box<Sleep>>>,
}

impl<B> Watched<B> {
    pub(super) fn new(body: B, intake: Intake, limits: BodyLimits) -> Self {
        Self {
            body,
            intake,
            limits,
            began: Instant::now(),
            bytes: 0,
            waited: Duration::ZERO,
            since_progress: 0,
            waiting_since: None,
            timer: None,
        }
    }

    fn came(&mut self, bytes: u64) -> Result<(), BodyRefused> {
        self.timer = None;
        if let Some(since) = self.waiting_since.take() {
            self.waited += since.elapsed();
        }
        self.bytes += bytes;
        self.since_progress += bytes;
        if self.since_progress >= self.limits.least_bytes {
            (self.waited, self.since_progress) = (Duration::ZERO, 0);
        }
        if !self.intake.is_known() {
            if self.bytes > self.limits.stranger_bytes {
                return Err(BodyRefused::TooLarge(self.limits.stranger_bytes));
            }
            // Bytes that drip never leave it waiting for long.
            if self.began.elapsed() > self.limits.stranger_time {
                return Err(BodyRefused::TooSlow);
            }
        } else if self.waited > self.limits.stall {
            return Err(BodyRefused::TooSlow);
        }
        self.intake.take(bytes, &self.limits)
    }

    /// Nothing is there: whether it has been waited for too long.
    fn waits(&mut self, cx: &mut Context<'_>) -> Poll<BodyRefused> {
        let since = *self.waiting_since.get_or_insert_with(Instant::now);
        let until = if self.intake.is_known() {
            since + self.limits.stall.saturating_sub(self.waited)
        } else {
            self.began + self.limits.stranger_time
        };
        let timer = self.timer.get_or_insert_with(|| Box::pin(sleep_until(until)));
        timer.as_mut().poll(cx).map(|()| BodyRefused::TooSlow)
    }
}

impl<B> Body for Watched<B>
where
    B: Body<Data = Bytes> + Unpin,
    B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
{
    type Data = Bytes;
    type Error = Box<dyn std::error::Error + Send + Sync>;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Self::Error>>> {
        let this = &mut *self;
        match Pin::new(&mut this.body).poll_frame(cx) {
            Poll::Ready(Some(Ok(frame))) => {
                let bytes = frame.data_ref().map_or(0, |data| data.len() as u64);
                Poll::Ready(Some(this.came(bytes).map(|()| frame).map_err(Into::into)))
            }
            Poll::Ready(Some(Err(error))) => Poll::Ready(Some(Err(error.into()))),
            Poll::Ready(None) => {
                // It is complete: from here on it is the server that takes time.
                this.intake.0.connection.seat.busy();
                Poll::Ready(None)
            }
            Poll::Pending => this.waits(cx).map(|refused| Some(Err(refused.into()))),
        }
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

#[cfg(test)]
mod tests {
    use std::convert::Infallible;
    use std::net::IpAddr;

    use axum::body::Body as AnyBody;
    use futures_util::stream;
    use http_body_util::BodyExt as _;
    use tokio::time::sleep;

    use super::super::crowd::{Bounds, Crowd};
    use super::*;

    const LIMITS: BodyLimits = BodyLimits {
        stranger_bytes: 1000,
        stranger_time: Duration::from_secs(10),
        stall: Duration::from_secs(30),
        least_bytes: 500,
        small_bytes: 100,
    };

    /// What becomes of a body that comes in pieces of `piece` bytes with a pause before each.
    async fn received(known: bool, pieces: usize, piece: usize, pause: Duration) -> Result<usize, ApiError> {
        let crowd = Crowd::new(Bounds { strangers: 9, per_address: 9, per_token: 9 });
        let seat = crowd.enter(IpAddr::from([192, 0, 2, 1]), false).unwrap();
        let budgets = Arc::new(Budgets::new(1 << 20));
        let intake = Intake::new(Arc::new(Connection::new(seat)), Arc::clone(&budgets));
        if known {
            assert!(intake.has_shown(7));
        }
        let body = AnyBody::from_stream(Box::pin(stream::unfold(0, move |number| async move {
            sleep(pause).await;
            (number < pieces).then(|| (Ok::<_, Infallible>(Bytes::from(vec![0; piece])), number + 1))
        })));
        let found = Watched::new(body, intake, LIMITS).collect().await;
        let held = [&budgets.strangers, &budgets.known].map(|budget| budget.taken.load(Ordering::Relaxed));
        assert_eq!(held, [0, 0], "something is held when the request is gone");
        let found = found.map(|found| found.to_bytes().len());
        found.map_err(|error| BodyRefused::cause_of(error.as_ref()).expect("a refusal"))
    }

    #[tokio::test(start_paused = true)]
    async fn a_strangers_body_is_bounded_in_size_and_time_however_steadily_it_comes() {
        let second = Duration::from_secs(1);
        assert_eq!(received(false, 8, 100, second).await, Ok(800));
        let refused = |answer: Result<usize, ApiError>| answer.unwrap_err().code();
        assert_eq!(refused(received(false, 2, 600, second).await), ErrorCode::PayloadTooLarge);
        assert_eq!(refused(received(false, 20, 10, second).await), ErrorCode::RequestTimeout);
        assert_eq!(refused(received(false, 1, 10, Duration::from_secs(60)).await), ErrorCode::RequestTimeout);
    }

    #[tokio::test(start_paused = true)]
    async fn who_has_shown_a_token_may_send_for_long_but_not_next_to_nothing() {
        let second = Duration::from_secs(1);
        assert_eq!(received(true, 300, 100, second).await, Ok(30_000));
        let refused = |answer: Result<usize, ApiError>| answer.unwrap_err().code();
        assert_eq!(refused(received(true, 300, 1, second).await), ErrorCode::RequestTimeout);
        assert_eq!(refused(received(true, 2, 400, Duration::from_secs(31)).await), ErrorCode::RequestTimeout);
    }

    #[tokio::test]
    async fn a_streamed_body_takes_only_its_newest_piece_of_the_budget() {
        let crowd = Crowd::new(Bounds { strangers: 9, per_address: 9, per_token: 9 });
        let seat = crowd.enter(IpAddr::from([192, 0, 2, 1]), false).unwrap();
        let budgets = Arc::new(Budgets::new(4000));
        let intake = Intake::new(Arc::new(Connection::new(seat)), Arc::clone(&budgets));
        assert_eq!(intake.take(400, &LIMITS), Ok(()));
        assert_eq!(intake.take(400, &LIMITS), Err(BodyRefused::NoRoom));
        intake.is_streamed();
        for _ in 0..10 {
            assert_eq!(intake.take(400, &LIMITS), Ok(()));
        }
        assert_eq!(budgets.strangers.taken.load(Ordering::Relaxed), 400);
        assert_eq!(budgets.known.taken.load(Ordering::Relaxed), 0, "strangers take from others");
    }

    #[test]
    fn large_bodies_share_the_budget_and_small_ones_always_find_room() {
        let (budget, small) = (Budget::new(1000), 10);
        let mut held = [0_u64; 4];
        for _ in 0..1000 {
            for held in &mut held {
                if budget.take(*held, 5, small) {
                    *held += 5;
                }
            }
        }
        assert!(held.iter().all(|held| (190..=210).contains(held)), "{held:?}");
        for _ in 0..10 {
            assert!(budget.take(0, 10, small), "a small body was refused");
        }
        for held in held {
            budget.give_back(held);
        }
        assert!(budget.take(0, 400, small), "one alone may have much");
        assert!(!budget.take(400, 200, small), "but not all");
        assert_eq!(budget.taken.load(Ordering::Relaxed), 500, "a refusal takes nothing");
    }
}
