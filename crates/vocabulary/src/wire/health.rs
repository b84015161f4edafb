//! Health and version.

use serde::{Deserialize, Serialize};

/// Answer of `GET /health` and `GET /ready`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "utoipa", derive(utoipa::ToSchema), schema(example = json!({"status": "ok"})))]
pub struct Health {
    /// Always `ok`. Anything else is answered as an error.
    pub status: String,
}

/// Answer of `GET /version`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "utoipa", derive(utoipa::ToSchema), schema(as = ServerVersion, example = json!({
    "version": "0.1.0", "commit": "c0ffee1", "sqlite_version": "3.51.3"
})))]
pub struct Version {
    /// The semantic version of the server.
    pub version: String,
    /// The commit it was built from, or `unknown`.
    pub commit: String,
    /// The version of the SQLite library it uses.
    pub sqlite_version: String,
}
