//! The registration: the runner token, and how to get a new one.

use std::path::Path;
use std::sync::PoisonError;
use std::time::{Duration, Instant};

use minitower_client::wire::runner::{Register, Registered, RunnerScope, SignOff};
use minitower_client::{ClientConfig, Error, RunnerClient};
use minitower_daemon::backoff::Backoff;
use tokio::sync::Mutex;

use crate::config::Config;
use crate::data_dir::DataDir;
use crate::error::RunnerError;
use crate::labels::Labels;

/// File in the data directory that holds the runner token and nothing else.
const TOKEN_FILE: &str = "token";
/// File in the data directory that names the environment the kept token was registered for.
const ENVIRONMENT_FILE: &str = "environment";
/// File in the data directory that names the pool the kept token was registered with.
const POOL_FILE: &str = "pool";
/// File in the data directory with the labels the kept token was registered with, a JSON object.
const LABELS_FILE: &str = "labels";
/// File in the data directory that says whose runs the kept token takes: `platform` or `team`.
const SCOPE_FILE: &str = "scope";
/// Pauses between attempts at registering; with their jitter they are twice as long at most.
const SHORTEST_PAUSE: Duration = Duration::from_millis(500);
const LONGEST_PAUSE: Duration = Duration::from_millis(2500);
/// How long a registration lasts at least before the next one: two runners of one name take it from each other for ever, and should not do it
/// as fast as they can.
const BETWEEN_REGISTRATIONS: Duration = Duration::from_secs(5);

/// The connection to the control plane, and the credential for it.
#[derive(Debug)]
pub(crate) struct Session {
    client: RunnerClient,
    register: Register,
    registration_token: Option<String>,
    data_dir: std::sync::Arc<DataDir>,
    token: Mutex<Option<String>>,
    /// When this process registered last.
    registered: std::sync::Mutex<Option<Instant>>,
    labels: Labels,
    /// The poll that is not answered yet.
    open_poll: std::sync::Mutex<Option<String>>,
}

impl Session {
    /// Prepares the client and looks for a kept token; nothing is sent yet.
    pub(crate) fn open(
        config: &Config,
        labels: Labels,
        data_dir: std::sync::Arc<DataDir>,
    ) -> Result<Self, RunnerError> {
        let mut client = ClientConfig::new(&config.server_url);
        client.ca_file.clone_from(&config.ca_file);
        concat!("minitower-runner/", env!("CARGO_PKG_VERSION")).clone_into(&mut client.user_agent);
        let read = |name: &str| {
            let path = Path::new(name).to_owned();
            data_dir.read(name).map_err(|source| RunnerError::DataDir { path, source })
        };
        let kept = read(TOKEN_FILE)?;
        // Nothing is known about a token from the configuration.
        let pool_changed = kept.is_some() && read(POOL_FILE)? != config.pool;
        let mut token = kept.or_else(|| config.runner_token.clone());
        let serves_another = read(ENVIRONMENT_FILE)?.is_some_and(|former| former != config.environment);
        if (serves_another || pool_changed) && config.registration_token.is_some() {
            // The kept token serves another environment, or is listed under another pool.
            token = None;
        }
        Ok(Self {
            client: RunnerClient::new(&client)?,
            register: Register {
                name: config.runner_name.clone(),
                environment: Some(config.environment.clone()),
                pool: config.pool.clone(),
                labels: labels.all.clone(),
            },
            registration_token: config.registration_token.clone(),
            data_dir,
            token: Mutex::new(token),
            registered: std::sync::Mutex::default(),
            labels,
            open_poll: std::sync::Mutex::default(),
        })
    }

    /// The client; its calls take the token from [`Session::token`].
    pub(crate) fn client(&self) -> &RunnerClient {
        &self.client
    }

    /// The current token; `None` before the first registration, and after a refusal.
    pub(crate) async fn token(&self) -> Option<String> {
        self.token.lock().await.clone()
    }

    /// The current token. If there is none, registers, and tries again until the control plane answers.
    pub(crate) async fn ensure_token(&self) -> Result<String, RunnerError> {
        let mut backoff = Backoff::new(SHORTEST_PAUSE, LONGEST_PAUSE);
        loop {
            let mut token = self.token.lock().await;
            if let Some(token) = &*token {
                return Ok(token.clone());
            }
            let Some(registration_token) = &self.registration_token else {
                return Err(RunnerError::NoRegistrationToken);
            };
            let registered = *self.registered.lock().unwrap_or_else(PoisonError::into_inner);
            let early = registered.and_then(|at| BETWEEN_REGISTRATIONS.checked_sub(at.elapsed()));
            if let Some(early) = early.filter(|early| !early.is_zero()) {
                drop(token);
                tracing::warn!(
                    name = self.register.name,
                    "registered a moment ago, and the token is dead already: is another runner of this name running?"
                );
                tokio::time::sleep(early).await;
                continue;
            }
            match self.client.register(registration_token, &self.register).await {
                Ok(registered) => {
                    tracing::info!(runner_id = registered.runner_id, name = registered.name, "registered");
                    self.keep(&registered);
                    *token = Some(registered.token);
                }
                Err(error) if error.is_retryable() => {
                    drop(token);
                    tracing::warn!(%error, "cannot register yet");
                    backoff.pause().await;
                }
                Err(error) => return Err(RunnerError::Refused(error)),
            }
        }
    }

    /// Registers again if the kept token was registered with other labels. This happens once, before the first poll: labels are not
    /// worth keeping a runner from its work.
    pub(crate) async fn tell_labels(&self) {
        let mut token = self.token.lock().await;
        let Some(registration_token) = self.registration_token.as_ref().filter(|_| token.is_some()) else {
            return;
        };
        // Nothing is known about a token from the configuration, or about Pythons that did not answer in time.
        let kept = self.data_dir.read(TOKEN_FILE).ok().flatten().is_some();
        let told = self.data_dir.read(LABELS_FILE).ok().flatten();
        if !kept || !self.labels.complete || told == Some(self.labels.to_text()) {
            return;
        }
        match self.client.register(registration_token, &self.register).await {
            Ok(registered) => {
                tracing::info!(labels = ?self.labels.all, "registered again: this machine has other Pythons than before");
                self.keep(&registered);
                *token = Some(registered.token);
            }
            Err(error) => tracing::warn!(%error, "cannot tell the control plane which Pythons are here"),
        }
    }

    /// Drops the token `refused`, which the control plane refused (401), unless another one has replaced it meanwhile.
    pub(crate) async fn drop_token(&self, refused: &str) {
        let mut token = self.token.lock().await;
        if token.as_deref() == Some(refused) {
            tracing::warn!("the control plane no longer knows this runner's token; registering again");
            *token = None;
            if let Err(error) = self.data_dir.remove(TOKEN_FILE) {
                tracing::warn!(%error, "cannot remove the kept token");
            }
        }
    }

    /// Whose runs the current token takes. `None` if the control plane did not say, or the token comes from the configuration.
    pub(crate) fn scope(&self) -> Option<RunnerScope> {
        match self.data_dir.read(SCOPE_FILE).ok()??.as_str() {
            "platform" => Some(RunnerScope::Platform),
            "team" => Some(RunnerScope::Team),
            _ => None,
        }
    }

    fn keep(&self, registered: &Registered) {
        *self.registered.lock().unwrap_or_else(PoisonError::into_inner) = Some(Instant::now());
        let token = registered.token.as_str();
        let environment = self.register.environment.as_deref().unwrap_or_default();
        let kept = self
            .data_dir
            .remove(SCOPE_FILE)
            .and_then(|()| self.data_dir.remove(LABELS_FILE))
            .and_then(|()| self.data_dir.write(TOKEN_FILE, token))
            .and_then(|()| self.data_dir.write(ENVIRONMENT_FILE, environment))
            .and_then(|()| match &self.register.pool {
                Some(pool) => self.data_dir.write(POOL_FILE, pool),
                None => self.data_dir.remove(POOL_FILE),
            })
            .and_then(|()| self.data_dir.write(LABELS_FILE, &self.labels.to_text()))
            .and_then(|()| match registered.scope {
                Some(RunnerScope::Platform) => self.data_dir.write(SCOPE_FILE, "platform"),
                Some(RunnerScope::Team) => self.data_dir.write(SCOPE_FILE, "team"),
                None => Ok(()),
            });
        if let Err(error) = kept {
            tracing::warn!(%error, "cannot keep the token; the next start registers again");
        }
    }

    /// Notes which poll is on its way: a sign-off gives up what it may bring.
    pub(crate) fn polls(&self, request_id: Option<String>) {
        *self.open_poll.lock().unwrap_or_else(PoisonError::into_inner) = request_id;
    }

    /// Tells the control plane that no further poll will come. Older servers do not know this call.
    pub(crate) async fn sign_off(&self) -> Result<(), Error> {
        let Some(token) = self.token().await else { return Ok(()) };
        let request_id = self.open_poll.lock().unwrap_or_else(PoisonError::into_inner).clone();
        match self.client.sign_off(&token, &SignOff { request_id }).await {
            Err(error) if error.status() == Some(404) => Ok(()),
            other => other,
        }
    }
}
