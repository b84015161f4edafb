//! Health and version.

use serde::{Deserialize, Serialize};

/// Answer of `GET /health` and `GET /ready`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Health {
    /// Always `ok`; anything else comes as an error.
    pub status: String,
}

/// Answer of `GET /version`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Version {
    /// Semantic version of the server.
    pub version: String,
    /// Commit it was built from, or `unknown`.
    pub commit: String,
    /// Version of the SQLite library it runs on.
    pub sqlite_version: String,
}
