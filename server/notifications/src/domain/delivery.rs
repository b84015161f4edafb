//! One message to the target of a notification, and what became of it.

use std::time::Duration;

use minitower_vocabulary::ids::{DeliveryId, NotificationId, RunId};
use minitower_vocabulary::time::Timestamp;

use crate::domain::message::Event;
use crate::domain::schedule;

/// A delivery.
#[derive(Debug, Clone)]
pub struct Delivery {
    /// Its id.
    pub id: DeliveryId,
    /// The notification.
    pub notification: NotificationId,
    /// What its receiver knows it by.
    pub webhook_id: String,
    /// What it tells.
    pub event: Event,
    /// Of which run.
    pub run: Option<RunId>,
    /// What is told, as JSON.
    pub data: String,
    /// What became of it.
    pub state: State,
    /// Attempts in all.
    pub attempts: i64,
    /// Attempts since it was last asked for.
    pub tries: i64,
    /// When it was made.
    pub created_at: Timestamp,
}

/// What became of a delivery.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum State {
    /// It is to be sent.
    Waiting {
        /// When.
        next_at: Timestamp,
    },
    /// Its receiver took it.
    Delivered {
        /// When.
        ended_at: Timestamp,
    },
    /// Its last attempt failed.
    Failed {
        /// When.
        ended_at: Timestamp,
    },
}

/// An attempt at a delivery.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Attempt {
    /// When it ended.
    pub at: Timestamp,
    /// How long it took.
    pub took: Duration,
    /// The status of the answer, or the code of the mail server.
    pub code: Option<i64>,
    /// Why it failed; none: it succeeded.
    pub error: Option<String>,
    /// How long its receiver asks to be left alone.
    pub retry_after: Option<Duration>,
}

/// The status of a receiver that is there no more. No mail server has a code like it.
const GONE: i64 = 410;

impl Delivery {
    /// Whether it is to be sent.
    pub const fn waits(&self) -> bool {
        matches!(self.state, State::Waiting { .. })
    }

    /// The delivery after an attempt. One that has ended in the meantime keeps a success, and one that somebody asked for again goes on.
    #[must_use]
    pub fn after(mut self, attempt: &Attempt, jitter: f64) -> Self {
        self.attempts += 1;
        self.tries += 1;
        let now = attempt.at;
        self.state = match (self.state, &attempt.error) {
            (_, None) => State::Delivered { ended_at: now },
            // Whoever says that it is gone wants no more of them (Standard Webhooks).
            (State::Waiting { .. }, Some(_)) if attempt.code == Some(GONE) => State::Failed { ended_at: now },
            (State::Waiting { .. }, Some(_)) => {
                match schedule::after_failure(self.tries, attempt.retry_after, jitter, now) {
                    Some(next_at) => State::Waiting { next_at },
                    None => State::Failed { ended_at: now },
                }
            }
            (ended @ (State::Delivered { .. } | State::Failed { .. }), Some(_)) => ended,
        };
        self
    }

    /// The delivery after somebody asked for it again: as if it was new, but its receiver knows it.
    #[must_use]
    pub fn again(mut self, now: Timestamp) -> Self {
        self.tries = 0;
        self.state = State::Waiting { next_at: now };
        self
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn delivery() -> Delivery {
        Delivery {
            id: DeliveryId(1),
            notification: NotificationId(1),
            webhook_id: "msg_1".to_owned(),
            event: Event::Test,
            run: None,
            data: "{}".to_owned(),
            state: State::Waiting { next_at: Timestamp(0) },
            attempts: 0,
            tries: 0,
            created_at: Timestamp(0),
        }
    }

    fn attempt(error: Option<&str>) -> Attempt {
        let error = error.map(str::to_owned);
        Attempt { at: Timestamp(5), took: Duration::ZERO, code: None, error, retry_after: None }
    }

    #[test]
    fn a_receiver_that_is_gone_is_not_asked_again() {
        let gone = Attempt { code: Some(410), ..attempt(Some("410 Gone")) };
        assert_eq!(delivery().after(&gone, 0.0).state, State::Failed { ended_at: Timestamp(5) });
        let again = delivery().after(&gone, 0.0).again(Timestamp(6));
        assert_eq!(again.after(&attempt(None), 0.0).state, State::Delivered { ended_at: Timestamp(5) });
    }

    #[test]
    fn a_success_ends_it_and_a_failure_puts_it_off() {
        let delivered = delivery().after(&attempt(None), 0.0);
        assert_eq!((delivered.state, delivered.attempts), (State::Delivered { ended_at: Timestamp(5) }, 1));
        let failed = delivery().after(&attempt(Some("x")), 0.0);
        assert_eq!(failed.state, State::Waiting { next_at: Timestamp(10_005) });
    }

    #[test]
    fn it_fails_for_good_after_its_last_try_and_has_all_of_them_again_when_it_is_asked_for() {
        let mut one = delivery();
        for _ in 0..schedule::MOST_TRIES {
            assert!(matches!(one.state, State::Waiting { .. }));
            one = one.after(&attempt(Some("x")), 0.0);
        }
        assert_eq!(one.state, State::Failed { ended_at: Timestamp(5) });
        let again = one.again(Timestamp(7));
        assert_eq!((again.state, again.tries), (State::Waiting { next_at: Timestamp(7) }, 0));
        assert_eq!(again.attempts, schedule::MOST_TRIES, "the attempts are counted on");
        assert_eq!(
            again.after(&attempt(Some("x")), 0.0).state,
            State::Waiting { next_at: Timestamp(10_005) }
        );
    }

    #[test]
    fn what_was_delivered_does_not_fail_afterwards() {
        let delivered = delivery().after(&attempt(None), 0.0);
        assert_eq!(delivered.clone().after(&attempt(Some("x")), 0.0).state, delivered.state);
    }
}
