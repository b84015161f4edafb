//! The calls of one attempt, with the runner's current token.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use minitower_client::wire::runner::Lease;
use minitower_client::{AttemptClient, Error};

use crate::session::Session;

/// Calls under one lease. Cheap to clone.
#[derive(Clone)]
pub(crate) struct AttemptCalls {
    session: Arc<Session>,
    lease: Arc<Lease>,
    /// When the control plane last answered one of them.
    answered: Arc<Mutex<Instant>>,
}

impl AttemptCalls {
    /// The calls of `lease`'s attempt.
    pub(crate) fn new(session: Arc<Session>, lease: Arc<Lease>) -> Self {
        Self { session, lease, answered: Arc::new(Mutex::new(Instant::now())) }
    }

    /// Makes one call. If the runner token is refused (after a restore of the control plane, or a second registration), the runner
    /// registers again and repeats the call once: the attempt belongs to the runner, not to the token. If the runner can no longer
    /// register, the call fails with 403.
    pub(crate) async fn call<T, F: Future<Output = Result<T, Error>>>(
        &self,
        timeout: Duration,
        call: impl Fn(AttemptClient) -> F,
    ) -> Result<T, Error> {
        let outcome = self.call_registered(timeout, call).await;
        // A retryable answer may come from a proxy whose control plane is gone.
        if !outcome.as_ref().is_err_and(Error::is_retryable) {
            *self.answered.lock().unwrap_or_else(PoisonError::into_inner) = Instant::now();
        }
        outcome
    }

    /// Waits until the control plane has answered no call for `limit`, counted from `since` at the earliest.
    pub(crate) async fn unanswered(&self, limit: Duration, since: Instant) {
        loop {
            let answered = *self.answered.lock().unwrap_or_else(PoisonError::into_inner);
            let silent = answered.max(since).elapsed();
            if silent >= limit {
                return;
            }
            tokio::time::sleep(limit.saturating_sub(silent)).await;
        }
    }

    async fn call_registered<T, F: Future<Output = Result<T, Error>>>(
        &self,
        timeout: Duration,
        call: impl Fn(AttemptClient) -> F,
    ) -> Result<T, Error> {
        let attempt = |token: &str| self.session.client().attempt(token, &self.lease).with_timeout(timeout);
        let former = self.session.token().await;
        let refused = match &former {
            Some(token) => match call(attempt(token)).await {
                Err(error) if error.status() == Some(401) => error,
                outcome => return outcome,
            },
            None => Error::Api {
                status: 401,
                code: String::new(),
                message: "the runner has no token".to_owned(),
                retry_after: None,
            },
        };
        if let Some(token) = &former {
            self.session.drop_token(token).await;
        }
        match tokio::time::timeout(timeout, self.session.ensure_token()).await {
            Ok(Ok(token)) => call(attempt(&token)).await,
            // 403 is final; a 401 would be tried again.
            Ok(Err(error)) => Err(Error::Api {
                status: 403,
                code: "forbidden".to_owned(),
                message: error.to_string(),
                retry_after: None,
            }),
            Err(_) => Err(refused),
        }
    }
}
