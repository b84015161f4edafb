//! Environments.

use minitower_wire::environments::{CreateEnvironment, Environment, Environments};
use reqwest::Method;

use crate::{Error, TeamClient};

impl TeamClient {
    /// The team's environments.
    pub async fn environments(&self) -> Result<Environments, Error> {
        self.call(Method::GET, &["environments"]).decode().await
    }

    /// Makes an environment.
    pub async fn create_environment(&self, name: &str) -> Result<Environment, Error> {
        let body = CreateEnvironment { name: name.to_owned() };
        self.call(Method::POST, &["environments"]).json(&body).decode().await
    }
}
