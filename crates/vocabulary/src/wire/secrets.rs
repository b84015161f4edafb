//! Secrets: values that the runs of some apps get, and that nobody is shown.

use serde::{Deserialize, Serialize};

use super::Timestamp;

/// Body of `PUT /environments/{env}/secrets/{name}`.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "utoipa", derive(utoipa::ToSchema), schema(example = json!({"value": "correct horse battery staple"})))]
pub struct SetSecret {
    /// The value: text of 4 to 32,768 bytes without NUL.
    #[serde(default)]
    #[cfg_attr(feature = "utoipa", schema(required = true, min_length = 1, max_length = 32768))]
    pub value: String,
}

impl std::fmt::Debug for SetSecret {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("SetSecret(…)")
    }
}

/// A secret, without its value.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "utoipa", derive(utoipa::ToSchema), schema(example = json!({
    "name": "API_KEY", "updated_at": "2026-01-02T03:04:05.678Z"
})))]
pub struct Secret {
    /// Its name, unique within the environment. Runs get the value as a variable of this name.
    pub name: String,
    /// When its value was set.
    pub updated_at: Timestamp,
}

/// Answer of `GET /environments/{env}/secrets`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "utoipa", derive(utoipa::ToSchema))]
pub struct Secrets {
    /// The secrets of the environment, by name.
    pub secrets: Vec<Secret>,
}
