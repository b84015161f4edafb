//! The runner protocol outside of an attempt: registration, polls, sign-off.

use std::fmt;
use std::time::Duration;

use jiff::Timestamp;
use minitower_vocabulary::wire::runner::{Lease, LeaseQuery, LeaseRequest, Register, Registered, SignOff};
use reqwest::Method;

use crate::transport::Transport;
use crate::{AttemptClient, ClientConfig, Error};

/// What a poll's answer may take on top of the time it asked the server to hold it.
const POLL_MARGIN: Duration = Duration::from_secs(10);

/// Calls of a runner. Cheap to clone.
#[derive(Debug, Clone)]
pub struct RunnerClient {
    transport: Transport,
}

/// A lease, and what is needed to judge its length when the server is too old to say it.
#[derive(Clone)]
pub struct Leased {
    /// The lease.
    pub lease: Lease,
    /// The answer's `Date`, by the server's clock, to the second.
    pub server_date: Option<Timestamp>,
}

impl fmt::Debug for Leased {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Leased")
            .field("run_id", &self.lease.run_id)
            .field("attempt_id", &self.lease.attempt_id)
            .field("lease_expires_at", &self.lease.lease_expires_at)
            .field("server_date", &self.server_date)
            .finish_non_exhaustive()
    }
}

impl RunnerClient {
    /// Checks the configuration; nothing is sent yet.
    pub fn new(config: &ClientConfig) -> Result<Self, Error> {
        Transport::new(config).map(|transport| Self { transport })
    }

    /// Registers a runner, or gives it a new token under its old name.
    pub async fn register(&self, registration_token: &str, register: &Register) -> Result<Registered, Error> {
        self.transport
            .api(Method::POST, &["runners", "register"])
            .bearer(registration_token)
            .json(register)
            .decode()
            .await
    }

    /// Polls for work. The server may hold the poll for `wait_seconds` (0 to 60; older servers answer at once);
    /// `None` means there is no work. The deadline is that wait and ten seconds.
    pub async fn lease(
        &self,
        runner_token: &str,
        wait_seconds: u64,
        request: &LeaseRequest,
    ) -> Result<Option<Leased>, Error> {
        let answer = self
            .transport
            .api(Method::POST, &["runs", "lease"])
            .bearer(runner_token)
            .query(&LeaseQuery { wait: Some(wait_seconds) })
            .json(request)
            .timeout(Duration::from_secs(wait_seconds).saturating_add(POLL_MARGIN))
            .whole()
            .await?;
        if answer.status == 204 {
            return Ok(None);
        }
        Ok(Some(Leased { lease: answer.decode()?, server_date: answer.date }))
    }

    /// Says that this runner will not poll again for now, and which poll it gave up. Older servers answer 404.
    pub async fn sign_off(&self, runner_token: &str, body: &SignOff) -> Result<(), Error> {
        let call = self.transport.api(Method::POST, &["runners", "sign-off"]).bearer(runner_token);
        call.json(body).done().await
    }

    /// The calls of one attempt.
    pub fn attempt(&self, runner_token: &str, lease: &Lease) -> AttemptClient {
        AttemptClient::new(self.transport.clone(), runner_token, lease)
    }
}
