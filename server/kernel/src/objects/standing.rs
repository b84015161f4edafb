//! How a bucket stands: whether it did what was asked of it last.

use std::sync::{Arc, Mutex, PoisonError};

use super::ObjectError;

/// What is known of it. Nobody waits to ask.
#[derive(Debug, Default)]
pub(super) struct Standing(Mutex<Option<Arc<str>>>);

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

    /// Why it cannot be used, if that is so.
    pub(super) fn trouble(&self) -> Option<Arc<str>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}
