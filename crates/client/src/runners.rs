//! Runners as administrators see them, and fences.

use minitower_vocabulary::wire::admin::{CreatePoolToken, Drain, Drained, Ended, PoolTokenCreated, Runners};
use minitower_vocabulary::wire::pools::{Pools, ReportPool};
use reqwest::Method;
use serde::Serialize;

use crate::pages::Cursor;
use crate::{Error, TeamClient};

/// Which runners to list; all fields optional.
#[derive(Debug, Clone, Default, Serialize)]
pub struct RunnerFilter {
    /// Only runners of this pool.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pool: Option<String>,
    /// Only runners of this environment.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub environment: Option<String>,
}

impl TeamClient {
    /// The runners the token may see, by name.
    pub async fn runners(&self, filter: &RunnerFilter) -> Result<Runners, Error> {
        let path = ["admin", "runners"];
        self.filtered_list(&path, filter, Cursor::After, |r: &mut Runners| &mut r.runners, |r| r.name.clone())
            .await
    }

    /// Fences a runner: nothing is leased to it while any owner holds the fence. `owner` defaults to the caller.
    pub async fn drain_runner(&self, name: &str, owner: Option<&str>) -> Result<Drained, Error> {
        self.fence(Method::POST, name, owner).await
    }

    /// Lifts the owner's fence.
    pub async fn undrain_runner(&self, name: &str, owner: Option<&str>) -> Result<Drained, Error> {
        self.fence(Method::DELETE, name, owner).await
    }

    async fn fence(&self, method: Method, name: &str, owner: Option<&str>) -> Result<Drained, Error> {
        let body = Drain { owner: owner.map(str::to_owned) };
        self.call(method, &["admin", "runners", name, "drain"]).json(&body).decode().await
    }

    /// Reports that a runner's process has ended for certain, so that its attempt expires now.
    pub async fn runner_ended(&self, name: &str, ended: &Ended) -> Result<(), Error> {
        self.call(Method::POST, &["admin", "runners", name, "ended"]).json(ended).done().await
    }

    /// Forgets a runner and its fences.
    pub async fn delete_runner(&self, name: &str) -> Result<(), Error> {
        self.call(Method::DELETE, &["admin", "runners", name]).done().await
    }

    /// Reports how a pool stands, with the operator token.
    pub async fn report_pool(&self, namespace: &str, name: &str, report: &ReportPool) -> Result<(), Error> {
        self.call(Method::PUT, &["admin", "pools", namespace, name]).json(report).done().await
    }

    /// Has a pool forgotten that is no more, with the operator token.
    pub async fn forget_pool(&self, namespace: &str, name: &str) -> Result<(), Error> {
        self.call(Method::DELETE, &["admin", "pools", namespace, name]).done().await
    }

    /// All pools that were reported lately, with the operator token.
    pub async fn pools(&self) -> Result<Pools, Error> {
        self.call(Method::GET, &["admin", "pools"]).decode().await
    }

    /// Makes a registration token for one pool, with the operator token.
    pub async fn create_pool_token(
        &self,
        namespace: &str,
        name: &str,
        binding: &CreatePoolToken,
    ) -> Result<PoolTokenCreated, Error> {
        self.call(Method::POST, &["admin", "pools", namespace, name, "token"]).json(binding).decode().await
    }

    /// Revokes the registration tokens of one pool, with the operator token.
    pub async fn delete_pool_token(&self, namespace: &str, name: &str) -> Result<(), Error> {
        self.call(Method::DELETE, &["admin", "pools", namespace, name, "token"]).done().await
    }
}
