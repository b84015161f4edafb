//! How long a team keeps what has ended.

use minitower_vocabulary::wire::retention::{Retention, SetRetention};
use reqwest::Method;

use crate::{Error, TeamClient};

impl TeamClient {
    /// How long the team keeps what has ended.
    pub async fn retention(&self) -> Result<Retention, Error> {
        self.call(Method::GET, &["retention"]).decode().await
    }

    /// Says how long the team keeps what has ended.
    pub async fn set_retention(&self, set: &SetRetention) -> Result<Retention, Error> {
        self.call(Method::PUT, &["retention"]).json(set).decode().await
    }
}
