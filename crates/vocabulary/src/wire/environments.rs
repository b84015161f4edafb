//! Environments: the names under which runs and runners meet.

use serde::{Deserialize, Serialize};

use super::Timestamp;

/// One environment of a team.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "utoipa", derive(utoipa::ToSchema), schema(example = json!({
    "name": "production", "created_at": "2026-01-02T03:04:05.678Z"
})))]
pub struct Environment {
    /// Its name, unique within the team.
    pub name: String,
    /// When it was created or first used.
    pub created_at: Timestamp,
}

/// Answer of `GET /environments`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "utoipa", derive(utoipa::ToSchema))]
pub struct Environments {
    /// The team's environments, by name.
    pub environments: Vec<Environment>,
}

/// Body of `POST /environments`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "utoipa", derive(utoipa::ToSchema), schema(example = json!({"name": "production"})))]
pub struct CreateEnvironment {
    /// The name of the environment.
    #[serde(default)]
    #[cfg_attr(feature = "utoipa", schema(required = true, pattern = "^[a-z0-9][a-z0-9._-]{0,62}$"))]
    pub name: String,
}
