//! Bodies that arrive slowly: nothing of them is handed on once the credential that came with their head does not hold any more.
//!
//! A credential is checked when the head of a request has come. Its body may take an hour longer. So whatever was waited for is handed on
//! only after the credential was found good again: what a handler has read to its end has been sent under a good credential.

use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use axum::body::Body;
use bytes::Bytes;
use http_body::{Body as _, Frame, SizeHint};
use tokio::time::{Instant, Sleep, sleep};

use crate::ApiError;

/// How often a credential is looked at again, while nothing of a body comes and while an answer takes long.
pub(crate) const LOOK_AGAIN: Duration = Duration::from_secs(1);

/// Looking at the credential again.
type Look = Pin<Box<dyn Future<Output = Result<(), ApiError>> + Send>>;
/// What a body yields.
type Piece = Option<Result<Frame<Bytes>, axum::Error>>;

/// Why a body was broken off, for whoever answers the request. Empty as long as it was not.
#[derive(Debug, Clone, Default)]
pub(crate) struct BrokenOff(Arc<Mutex<Option<ApiError>>>);

impl BrokenOff {
    /// The refusal; none: the credential held to the end of the body.
    pub(crate) fn why(&self) -> Option<ApiError> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).take()
    }
}

/// The credential does not hold any more. The caller is told by the guard, whatever the handler makes of this.
#[derive(Debug, thiserror::Error)]
#[error("the credential does not hold any more")]
struct Refused;

/// The same body, broken off when `look` refuses.
pub(crate) fn watched<F, L>(body: Body, look: F) -> (Body, BrokenOff)
where
    F: Fn() -> L + Send + 'static,
    L: Future<Output = Result<(), ApiError>> + Send + 'static,
{
    let broken_off = BrokenOff::default();
    // Nothing is waited for: nearly all requests have no body.
    if body.is_end_stream() {
        return (body, broken_off);
    }
    let arriving = Arriving {
        body,
        look: Box::new(move || Box::pin(look())),
        broken_off: broken_off.clone(),
        waited: false,
        looked: Instant::now(),
        looking: None,
        piece: None,
        timer: None,
    };
    (Body::new(arriving), broken_off)
}

struct Arriving {
    body: Body,
    look: Box<dyn Fn() -> Look + Send>,
    broken_off: BrokenOff,
    /// Whether something was waited for since the last look. What is there already was sent in time.
    waited: bool,
    looked: Instant,
    looking: Option<Look>,
    /// What came, until the credential was looked at.
    piece: Option<Piece>,
    timer: Option<Pin<Box<Sleep>>>,
}

impl http_body::Body for Arriving {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Piece> {
        let this = &mut *self;
        loop {
            if let Some(looking) = &mut this.looking {
                let found = ready!(looking.as_mut().poll(cx));
                (this.looking, this.waited, this.looked) = (None, false, Instant::now());
                if let Err(refusal) = found {
                    this.piece = None;
                    *this.broken_off.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(refusal);
                    return Poll::Ready(Some(Err(axum::Error::new(Refused))));
                }
            }
            if let Some(piece) = this.piece.take() {
                return Poll::Ready(piece);
            }
            match Pin::new(&mut this.body).poll_frame(cx) {
                Poll::Ready(piece) => {
                    this.timer = None;
                    if !this.waited && this.looked.elapsed() < LOOK_AGAIN {
                        return Poll::Ready(piece);
                    }
                    this.piece = Some(piece);
                }
                Poll::Pending => {
                    this.waited = true;
                    let timer = this.timer.get_or_insert_with(|| Box::pin(sleep(LOOK_AGAIN)));
                    ready!(timer.as_mut().poll(cx));
                    this.timer = None;
                }
            }
            this.looking = Some((this.look)());
        }
    }

    fn is_end_stream(&self) -> bool {
        // Its end may be waited for, too.
        false
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

#[cfg(test)]
mod tests {
    use std::convert::Infallible;
    use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

    use futures_util::{StreamExt as _, stream};
    use http_body_util::BodyExt as _;
    use minitower_vocabulary::wire::error::ErrorCode;
    use tokio::time::timeout;

    use super::*;

    /// A body of these pieces, each after a pause, and a credential that holds for so long. How often it was looked at.
    fn sent(pieces: &'static [(u64, &'static str)], holds: u64) -> (Body, BrokenOff, Arc<AtomicUsize>) {
        let (began, looks) = (Instant::now(), Arc::new(AtomicUsize::new(0)));
        let body = stream::iter(pieces).then(|(pause, piece)| async {
            if *pause > 0 {
                sleep(Duration::from_millis(*pause)).await;
            }
            Ok::<_, Infallible>(Bytes::from_static(piece.as_bytes()))
        });
        let counted = Arc::clone(&looks);
        let (body, broken_off) = watched(Body::from_stream(body), move || {
            counted.fetch_add(1, Ordering::Relaxed);
            let holds = began.elapsed() < Duration::from_millis(holds);
            async move { if holds { Ok(()) } else { Err(ApiError::new(ErrorCode::Unauthorized, "void")) } }
        });
        (body, broken_off, looks)
    }

    #[tokio::test(start_paused = true)]
    async fn what_was_there_from_the_start_is_not_looked_at_again() {
        let (body, broken_off, looks) = sent(&[(0, "a"), (0, "b")], 0);
        assert_eq!(body.collect().await.unwrap().to_bytes(), "ab");
        assert_eq!((broken_off.why(), looks.load(Ordering::Relaxed)), (None, 0));
    }

    #[tokio::test(start_paused = true)]
    async fn what_was_waited_for_is_handed_on_only_while_the_credential_holds() {
        let (mut body, broken_off, _) = sent(&[(0, "a"), (300, "b"), (300, "c")], 500);
        for piece in ["a", "b"] {
            assert_eq!(body.frame().await.unwrap().unwrap().into_data().unwrap(), piece);
        }
        assert!(body.frame().await.unwrap().is_err());
        assert_eq!(broken_off.why().map(|refusal| refusal.code()), Some(ErrorCode::Unauthorized));
    }

    #[tokio::test(start_paused = true)]
    async fn a_body_of_which_nothing_comes_is_broken_off_soon() {
        let (body, broken_off, _) = sent(&[(0, "a"), (60_000, "b")], 1500);
        assert!(timeout(Duration::from_secs(3), body.collect()).await.expect("it waits on").is_err());
        assert!(broken_off.why().is_some());
    }

    #[tokio::test(start_paused = true)]
    async fn an_end_that_was_waited_for_is_looked_at_too() {
        let good = Arc::new(AtomicBool::new(true));
        let pieces = stream::iter([Ok::<_, Infallible>(Bytes::from_static(b"{}"))]);
        let end = stream::once(sleep(Duration::from_millis(500))).filter_map(async |()| None);
        let shown = Arc::clone(&good);
        let (mut body, broken_off) = watched(Body::from_stream(pieces.chain(Box::pin(end))), move || {
            let good = shown.load(Ordering::Relaxed);
            async move { if good { Ok(()) } else { Err(ApiError::new(ErrorCode::Unauthorized, "void")) } }
        });
        body.frame().await.unwrap().unwrap();
        good.store(false, Ordering::Relaxed);
        assert!(body.frame().await.unwrap().is_err());
        assert!(broken_off.why().is_some());
    }
}
