//! Calls before one has a team token: sign-up, login, bootstrap, and signing in through an identity provider.

use minitower_vocabulary::wire::auth::{AuthOptions, BootstrapTeam, LoggedIn, Login, Signup, TeamCreated};
use minitower_vocabulary::wire::sign_in::{
    DeviceStarted, ExchangeCode, SignInPending, SignedIn, StartDevice,
};
use reqwest::Method;

use crate::transport::Transport;
use crate::{ClientConfig, Error, TeamClient};

/// What became of the code of a sign-in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SignIn {
    /// The person has not decided yet.
    Pending(SignInPending),
    /// A token.
    Done(SignedIn),
}

/// A control plane, without a credential. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Client {
    pub(crate) transport: Transport,
}

impl Client {
    /// Checks the configuration; nothing is sent yet.
    pub fn new(config: &ClientConfig) -> Result<Self, Error> {
        Transport::new(config).map(|transport| Self { transport })
    }

    /// Calls of a team, over the same connections.
    pub fn team(&self, token: impl Into<String>) -> TeamClient {
        TeamClient { transport: self.transport.clone(), token: token.into() }
    }

    /// Which ways in the server offers.
    pub async fn auth_options(&self) -> Result<AuthOptions, Error> {
        self.transport.api(Method::GET, &["auth", "options"]).decode().await
    }

    /// Makes the first team, or a new token for it.
    pub async fn bootstrap_team(
        &self,
        bootstrap_token: &str,
        team: &BootstrapTeam,
    ) -> Result<TeamCreated, Error> {
        self.transport
            .api(Method::POST, &["bootstrap", "team"])
            .bearer(bootstrap_token)
            .json(team)
            .decode()
            .await
    }

    /// Makes a team.
    pub async fn signup(&self, signup: &Signup) -> Result<TeamCreated, Error> {
        self.transport.api(Method::POST, &["teams", "signup"]).json(signup).decode().await
    }

    /// Exchanges a team's password for a token.
    pub async fn login(&self, login: &Login) -> Result<LoggedIn, Error> {
        self.transport.api(Method::POST, &["teams", "login"]).json(login).decode().await
    }

    /// Begins the sign-in of a person with a browser.
    pub async fn start_device(&self, start: &StartDevice) -> Result<DeviceStarted, Error> {
        self.transport.api(Method::POST, &["auth", "oidc", "device"]).json(start).decode().await
    }

    /// Asks for the token of a person who signs in.
    pub async fn exchange_code(&self, exchange: &ExchangeCode) -> Result<SignIn, Error> {
        let answer =
            self.transport.api(Method::POST, &["auth", "oidc", "token"]).json(exchange).whole().await?;
        Ok(if answer.status == 202 {
            SignIn::Pending(answer.decode()?)
        } else {
            SignIn::Done(answer.decode()?)
        })
    }
}
