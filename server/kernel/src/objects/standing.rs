//! How a bucket stands: whether it did what was asked of it last.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use super::ObjectError;

/// How often a bucket is asked that is not in trouble.
const ASK_EVERY: Duration = Duration::from_secs(30);

/// What is known of it. Nobody waits to ask.
#[derive(Debug, Default)]
pub(super) struct Standing(Mutex<Option<Arc<str>>>, Mutex<Option<Instant>>);

impl Standing {
    /// It did what was asked.
    pub(super) fn answered(&self) {
        let before = self.0.lock().unwrap_or_else(PoisonError::into_inner).take();
        if before.is_some() {
            tracing::info!("the object store answers again");
        }
    }

    /// It did not.
    pub(super) fn failed(&self, error: &ObjectError) {
        let reason: Arc<str> = error.to_string().into();
        let before = self.0.lock().unwrap_or_else(PoisonError::into_inner).replace(Arc::clone(&reason));
        if before.is_none() {
            tracing::warn!(reason = &*reason, "the object store is in trouble: uploads are refused");
        }
    }

    /// Whether it is time to ask it how it stands: soon while it is in trouble, and now and then while it is not.
    pub(super) fn is_due(&self) -> bool {
        let mut asked = self.1.lock().unwrap_or_else(PoisonError::into_inner);
        let due = self.trouble().is_some() || asked.is_none_or(|at| at.elapsed() >= ASK_EVERY);
        if due {
            *asked = Some(Instant::now());
        }
        due
    }

    /// Why it cannot be used, if that is so.
    pub(super) fn trouble(&self) -> Option<Arc<str>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}
