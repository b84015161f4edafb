//! Why a use case says no.

use std::fmt::Display;

use minitower_kernel::StoreError;
use minitower_kernel::page::LimitError;
use minitower_vocabulary::ids::{DeliveryId, NotificationId};

/// A use case was refused or failed.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A field of the request cannot be taken.
    #[error("{name} {problem}")]
    Field {
        /// The field.
        name: &'static str,
        /// What is wrong with it.
        problem: String,
    },
    /// The limit of a page is out of its range.
    #[error(transparent)]
    Limit(#[from] LimitError),
    /// The team has no notification of that id.
    #[error("there is no notification {0}")]
    NoNotification(NotificationId),
    /// The notification has no delivery of that id.
    #[error(
        "the notification {notification} has no delivery {delivery}: those that have ended are deleted after 30 days"
    )]
    NoDelivery {
        /// The notification.
        notification: NotificationId,
        /// The delivery.
        delivery: DeliveryId,
    },
    /// The team has a notification of that name.
    #[error("the team has a notification named {0:?} already: choose another name, or change that one")]
    NameTaken(String),
    /// The team has as many as it may.
    #[error("the team has {most} notifications, which is the most that it may have: delete one first")]
    TooMany {
        /// How many that is.
        most: i64,
    },
    /// It is not in use, so nothing is sent.
    #[error("the notification {0} is not enabled, so nothing is sent: enable it first")]
    Disabled(NotificationId),
    /// As many of its deliveries wait as may.
    #[error(
        "{most} deliveries of the notification {id} wait to be sent already: try again when some of them were sent"
    )]
    Full {
        /// The notification.
        id: NotificationId,
        /// How many that is.
        most: i64,
    },
    /// Runs or apps refused or failed.
    #[error(transparent)]
    Runs(#[from] minitower_runs::Error),
    /// A secret cannot be sealed.
    #[error(transparent)]
    Teams(#[from] minitower_teams::Error),
    /// The database refused or failed.
    #[error("the database did not carry it out")]
    Store(#[from] StoreError),
    /// The system gave no random numbers.
    #[error("the system gave no random numbers")]
    Random(#[source] getrandom::Error),
}

impl Error {
    pub(crate) fn field(name: &'static str, problem: impl Display) -> Self {
        Self::Field { name, problem: problem.to_string() }
    }
}
