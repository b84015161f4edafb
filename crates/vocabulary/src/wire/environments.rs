//! Environments: the names under which runs and runners meet.

use serde::{Deserialize, Serialize};

use super::Timestamp;

/// One environment of a team.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Environment {
    /// Its name, unique within the team.
    pub name: String,
    /// When it was made, or first used.
    pub created_at: Timestamp,
}

/// Answer of `GET /environments`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Environments {
    /// The team's environments, by name.
    pub environments: Vec<Environment>,
}

/// Body of `POST /environments`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CreateEnvironment {
    /// `^[a-z0-9][a-z0-9._-]{0,62}$`.
    #[serde(default)]
    pub name: String,
}
