//! Waiting for an event with a deadline.

use std::thread;
use std::time::{Duration, Instant};

/// How long a test waits for something that should happen at once; generous, because two cores may be busy.
pub const SOON: Duration = Duration::from_secs(20);

/// Pause between two looks at a condition that cannot announce itself.
const LOOK_EVERY: Duration = Duration::from_millis(10);

/// Looks until `look` yields something or `limit` has passed.
pub fn find<T>(limit: Duration, mut look: impl FnMut() -> Option<T>) -> Option<T> {
    let deadline = Instant::now() + limit;
    loop {
        let found = look();
        if found.is_some() || Instant::now() >= deadline {
            return found;
        }
        thread::sleep(LOOK_EVERY);
    }
}

/// Looks until `look` yields something, and panics naming `what` when `limit` has passed.
#[track_caller]
pub fn until<T>(what: &str, limit: Duration, look: impl FnMut() -> Option<T>) -> T {
    find(limit, look).unwrap_or_else(|| panic!("waited {limit:?} in vain: {what}"))
}

/// Asserts that `holds` stays true for the whole of `span`.
#[track_caller]
pub fn stays(what: &str, span: Duration, mut holds: impl FnMut() -> bool) {
    let end = Instant::now() + span;
    while Instant::now() < end {
        assert!(holds(), "did not last {span:?}: {what}");
        thread::sleep(LOOK_EVERY);
    }
}

/// Lets time pass where its passing is what is tested, such as the length of an outage. Never a way to wait for a
/// state.
pub fn pass(span: Duration) {
    thread::sleep(span);
}
