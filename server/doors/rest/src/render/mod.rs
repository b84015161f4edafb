//! What several endpoints show: runs, attempts, and moments. Nothing but renaming and formatting.

use std::time::Duration;

use minitower_vocabulary::time;
use minitower_vocabulary::wire::Timestamp;

mod attempts;
mod runs;

pub(crate) use attempts::{attempt, attempt_state, lease};
pub(crate) use runs::{artifact, labels, listed, log_line, run};

/// A moment of the server's clock as RFC 3339 in UTC.
pub(crate) fn moment(at: time::Timestamp) -> Timestamp {
    // No clock runs outside of the years -9999 to 9999. If one does, the epoch shows it.
    Timestamp::from_millisecond(at.0).unwrap_or(Timestamp::UNIX_EPOCH)
}

/// A length of time in milliseconds.
pub(crate) fn milliseconds(length: Duration) -> u64 {
    u64::try_from(length.as_millis()).unwrap_or(u64::MAX)
}

/// A run as every answer shows it, for whoever tells others of it. None: what is kept of it is not JSON.
pub fn shown_run(of: minitower_runs::domain::run::Run) -> Option<serde_json::Map<String, serde_json::Value>> {
    match serde_json::to_value(run(of).ok()?).ok()? {
        serde_json::Value::Object(shown) => Some(shown),
        _ => None,
    }
}
