//! Whether the server is alive and ready, which version it is, and how it describes its API.

use minitower_vocabulary::wire::health::{Health, Version};

use serde_json::Value;

use crate::{Client, Error};

impl Client {
    /// Whether the process answers.
    pub async fn health(&self) -> Result<Health, Error> {
        self.transport.root(&["health"]).decode().await
    }

    /// Whether its database answers too; 503 otherwise.
    pub async fn ready(&self) -> Result<(), Error> {
        self.transport.root(&["ready"]).done().await
    }

    /// Version and build of the server. Older servers answer 404.
    pub async fn version(&self) -> Result<Version, Error> {
        self.transport.root(&["version"]).decode().await
    }

    /// The server's description of its API: OpenAPI 3.1. Older servers answer 404.
    pub async fn openapi(&self) -> Result<Value, Error> {
        self.transport.root(&["api", "openapi.json"]).decode().await
    }

    /// The same description as a page for a browser. Older servers answer 404.
    pub async fn docs(&self) -> Result<String, Error> {
        self.transport.root(&["api", "docs"]).text().await
    }
}
