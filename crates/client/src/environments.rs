//! Environments.

use minitower_vocabulary::wire::environments::{CreateEnvironment, Environment, Environments};
use reqwest::Method;

use crate::pages::Cursor;
use crate::{Error, TeamClient};

impl TeamClient {
    /// The team's environments, all pages.
    pub async fn environments(&self) -> Result<Environments, Error> {
        self.list(
            &["environments"],
            Cursor::After,
            |answer: &mut Environments| &mut answer.environments,
            |environment| environment.name.clone(),
        )
        .await
    }

    /// Makes an environment.
    pub async fn create_environment(&self, name: &str) -> Result<Environment, Error> {
        let body = CreateEnvironment { name: name.to_owned() };
        self.call(Method::POST, &["environments"]).json(&body).decode().await
    }
}
