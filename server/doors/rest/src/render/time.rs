//! Moments and lengths of time.

use std::time::Duration;

use minitower_vocabulary::time;
use minitower_vocabulary::wire::Timestamp;

/// A moment of the server's clock as RFC 3339 in UTC.
pub(crate) fn moment(at: time::Timestamp) -> Timestamp {
    // Out of the years -9999 to 9999 no clock runs; the epoch is the visible sign of one that does.
    Timestamp::from_millisecond(at.0).unwrap_or(Timestamp::UNIX_EPOCH)
}

/// A length of time in milliseconds.
pub(crate) fn milliseconds(length: Duration) -> u64 {
    u64::try_from(length.as_millis()).unwrap_or(u64::MAX)
}
