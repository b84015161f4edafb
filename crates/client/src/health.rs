//! Whether the server is alive, ready, and which version it is.

use minitower_vocabulary::wire::health::{Health, Version};

use crate::{Client, Error};

impl Client {
    /// Whether the process answers.
    pub async fn health(&self) -> Result<Health, Error> {
        self.transport.root("health").decode().await
    }

    /// Whether its database answers too; 503 otherwise.
    pub async fn ready(&self) -> Result<(), Error> {
        self.transport.root("ready").done().await
    }

    /// Version and build of the server. Older servers answer 404.
    pub async fn version(&self) -> Result<Version, Error> {
        self.transport.root("version").decode().await
    }
}
