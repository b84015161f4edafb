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

/// A delivery is to be sent.
#[derive(Debug, Clone, Copy)]
pub struct DeliveryDue {
    /// The notification.
    pub notification: NotificationId,
    /// When.
    pub at: Timestamp,
}
