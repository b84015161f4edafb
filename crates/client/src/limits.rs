//! What a team may use.

use minitower_vocabulary::wire::limits::{Limits, SetLimits};
use reqwest::Method;

use crate::{Error, TeamClient};

impl TeamClient {
    /// The team's limits, and how much of them it uses.
    pub async fn limits(&self) -> Result<Limits, Error> {
        self.call(Method::GET, &["limits"]).decode().await
    }

    /// Chooses limits within what the administrator allows.
    pub async fn set_limits(&self, set: &SetLimits) -> Result<Limits, Error> {
        self.call(Method::PUT, &["limits"]).json(set).decode().await
    }

    /// The limits of a team, with the operator token.
    pub async fn team_limits(&self, slug: &str) -> Result<Limits, Error> {
        self.call(Method::GET, &["admin", "teams", slug, "limits"]).decode().await
    }

    /// Decides what a team is allowed, with the operator token.
    pub async fn set_team_limits(&self, slug: &str, set: &SetLimits) -> Result<Limits, Error> {
        self.call(Method::PUT, &["admin", "teams", slug, "limits"]).json(set).decode().await
    }
}
