//! What commits of this subject change.

use minitower_vocabulary::ids::{NotificationId, TeamId};
use minitower_vocabulary::time::Timestamp;

use crate::domain::filter::Subscription;

/// A notification was made, changed or deleted.
#[derive(Debug, Clone)]
pub struct NotificationChanged {
    /// Its team.
    pub team: TeamId,
    /// Its id.
    pub id: NotificationId,
    /// What is to be remembered of it; none: it is not in use any more.
    pub after: Option<Subscription>,
}

/// The outbox is fuller than before, or emptier.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct OutboxMoved {
    /// How many more deliveries are to be sent; below zero: fewer.
    pub waiting: i64,
    /// How many were written.
    pub queued: u64,
    /// How many were dropped.
    pub dropped: u64,
}

impl OutboxMoved {
    /// So many deliveries were written, and so many dropped.
    pub fn written(queued: u64, dropped: u64) -> Self {
        Self { waiting: i64::try_from(queued).unwrap_or(i64::MAX), queued, dropped }
    }

    /// So many more deliveries are to be sent, or fewer, and none was written.
    pub const fn waits(more: i64) -> Self {
        Self { waiting: more, queued: 0, dropped: 0 }
    }
}

/// A delivery is to be sent.
#[derive(Debug, Clone, Copy)]
pub struct DeliveryDue {
    /// The notification.
    pub notification: NotificationId,
    /// When.
    pub at: Timestamp,
}
