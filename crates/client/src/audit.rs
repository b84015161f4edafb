//! Who changed what.

use minitower_vocabulary::wire::audit::AuditEvents;
use reqwest::Method;

use crate::{Error, TeamClient};

impl TeamClient {
    /// A page of the team's audit log, newest first, from before the event `before`: at most `limit`, from 1 to 1000.
    pub async fn audit(&self, before: Option<i64>, limit: i64) -> Result<AuditEvents, Error> {
        self.call(Method::GET, &["audit"]).query(&page(before, limit)).decode().await
    }

    /// The same of all teams and of the platform, with the operator token.
    pub async fn audit_of_all(&self, before: Option<i64>, limit: i64) -> Result<AuditEvents, Error> {
        self.call(Method::GET, &["admin", "audit"]).query(&page(before, limit)).decode().await
    }
}

/// The query of a page.
fn page(before: Option<i64>, limit: i64) -> Vec<(&'static str, i64)> {
    before.map(|id| ("before", id)).into_iter().chain([("limit", limit)]).collect()
}
