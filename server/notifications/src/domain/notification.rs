//! A notification.

use std::fmt;

use minitower_vocabulary::ids::{NotificationId, TeamId};
use minitower_vocabulary::time::Timestamp;
use minitower_vocabulary::wire::notifications::TargetKind;

use crate::domain::filter::{Filter, Subscription};

/// A notification of a team.
#[derive(Debug, Clone)]
pub struct Notification {
    /// Its id.
    pub id: NotificationId,
    /// Its team.
    pub team: TeamId,
    /// Its name.
    pub name: String,
    /// Of what it tells.
    pub filter: Filter,
    /// Where it is sent.
    pub target: Target,
    /// Whether it is in use.
    pub enabled: bool,
    /// Deliveries that are to be sent.
    pub waiting: i64,
    /// Deliveries that were dropped, and have not been told yet.
    pub dropped: i64,
    /// When it was created.
    pub created_at: Timestamp,
    /// When it was last changed.
    pub updated_at: Timestamp,
}

/// Where a notification is sent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Target {
    /// How.
    pub kind: TargetKind,
    /// The URL of a webhook, the origin of Slack's, or the address of an email: what may be shown.
    pub shown: String,
    /// The key of a webhook's signatures, or the whole URL of Slack's. None: an email has none.
    pub secret: Option<Sealed>,
}

/// A secret as the database keeps it.
#[derive(Clone, PartialEq, Eq)]
pub struct Sealed(pub Vec<u8>);

impl fmt::Debug for Sealed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Sealed(…)")
    }
}

impl Notification {
    /// What is remembered of it; none: it is not in use.
    pub fn subscription(&self) -> Option<Subscription> {
        let filter = self.filter.clone();
        self.enabled.then_some(Subscription { id: self.id, team: self.team, filter })
    }
}
