//! Secrets of environments. Their values go one way: to the server.

use minitower_vocabulary::wire::secrets::{Secrets, SetSecret};
use reqwest::Method;

use crate::pages::Cursor;
use crate::{Error, TeamClient};

impl TeamClient {
    /// The secrets of an environment, without their values, all pages.
    pub async fn secrets(&self, environment: &str) -> Result<Secrets, Error> {
        self.list(
            &["environments", environment, "secrets"],
            Cursor::After,
            |answer: &mut Secrets| &mut answer.secrets,
            |secret| secret.name.clone(),
        )
        .await
    }

    /// Sets a secret, in place of a former value.
    pub async fn set_secret(&self, environment: &str, name: &str, value: &SetSecret) -> Result<(), Error> {
        self.call(Method::PUT, &["environments", environment, "secrets", name]).json(value).done().await
    }

    /// Deletes a secret.
    pub async fn delete_secret(&self, environment: &str, name: &str) -> Result<(), Error> {
        self.call(Method::DELETE, &["environments", environment, "secrets", name]).done().await
    }
}
