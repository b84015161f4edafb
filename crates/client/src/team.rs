//! Who the caller is, and the team's tokens.

use std::fmt;

use minitower_vocabulary::wire::auth::{
    CreateToken, Me, RegistrationTokenCreated, RegistrationTokens, TokenCreated, Tokens,
};
use reqwest::Method;

use crate::pages::Cursor;
use crate::transport::{Request, Transport};
use crate::{Client, ClientConfig, Error};

/// Calls of a team. Cheap to clone.
#[derive(Clone)]
pub struct TeamClient {
    pub(crate) transport: Transport,
    pub(crate) token: String,
}

impl fmt::Debug for TeamClient {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TeamClient").field("transport", &self.transport).finish_non_exhaustive()
    }
}

impl TeamClient {
    /// Checks the configuration; nothing is sent yet.
    pub fn new(config: &ClientConfig, token: impl Into<String>) -> Result<Self, Error> {
        Client::new(config).map(|client| client.team(token))
    }

    pub(crate) fn call(&self, method: Method, path: &[&str]) -> Request<'_> {
        self.transport.api(method, path).bearer(&self.token)
    }

    /// Team and role of the token.
    pub async fn me(&self) -> Result<Me, Error> {
        self.call(Method::GET, &["me"]).decode().await
    }

    /// Makes another token of the team.
    pub async fn create_token(&self, token: &CreateToken) -> Result<TokenCreated, Error> {
        self.call(Method::POST, &["tokens"]).json(token).decode().await
    }

    /// The team's tokens, newest first and all pages, without their secrets.
    pub async fn tokens(&self) -> Result<Tokens, Error> {
        self.list(
            &["tokens"],
            Cursor::Before,
            |answer: &mut Tokens| &mut answer.tokens,
            |token| token.token_id,
        )
        .await
    }

    /// Revokes a token; this client's own too.
    pub async fn delete_token(&self, id: i64) -> Result<(), Error> {
        self.call(Method::DELETE, &["tokens", &id.to_string()]).done().await
    }

    /// The team's registration tokens, newest first and all pages, without their secrets.
    pub async fn registration_tokens(&self) -> Result<RegistrationTokens, Error> {
        self.list(
            &["registration-tokens"],
            Cursor::Before,
            |answer: &mut RegistrationTokens| &mut answer.registration_tokens,
            |token| token.id,
        )
        .await
    }

    /// Makes a registration token for the team's own runners.
    pub async fn create_registration_token(&self) -> Result<RegistrationTokenCreated, Error> {
        self.call(Method::POST, &["registration-tokens"]).decode().await
    }

    /// Voids a registration token.
    pub async fn delete_registration_token(&self, id: i64) -> Result<(), Error> {
        self.call(Method::DELETE, &["registration-tokens", &id.to_string()]).done().await
    }
}
