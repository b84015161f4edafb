//! Apps and their versions.

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::Timestamp;

/// Body of `POST /apps`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "utoipa", derive(utoipa::ToSchema), schema(example = json!({
    "slug": "hello", "description": "Says hello"
})))]
pub struct CreateApp {
    /// The app's slug, unique within the team.
    #[serde(default)]
    #[cfg_attr(feature = "utoipa", schema(required = true, pattern = "^[a-z][a-z0-9-]{2,31}$"))]
    pub slug: String,
    /// What the app does, for people.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub description: Option<String>,
}

/// An app.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "utoipa", derive(utoipa::ToSchema), schema(example = json!({
    "app_id": 5, "slug": "hello", "description": "Says hello", "disabled": false, "created_at":
    "2026-01-02T03:04:05.678Z", "updated_at": "2026-01-02T03:04:05.678Z"
})))]
pub struct App {
    /// The app's id.
    pub app_id: i64,
    /// Its slug.
    pub slug: String,
    /// What the app does, for people.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub description: Option<String>,
    /// A disabled app refuses new runs.
    pub disabled: bool,
    /// When it was created.
    pub created_at: Timestamp,
    /// When it last changed. A new version is a change.
    pub updated_at: Timestamp,
}

/// Answer of `GET /apps`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "utoipa", derive(utoipa::ToSchema))]
pub struct Apps {
    /// The team's apps, by slug.
    pub apps: Vec<App>,
}

/// A version of an app: an archive and how to start it. It never changes.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "utoipa", derive(utoipa::ToSchema), schema(example = json!({
    "version_id": 8, "version_no": 1, "entrypoint": "main.py", "timeout_seconds": 600, "artifact_sha256":
    "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad", "created_at":
    "2026-01-02T03:04:05.678Z"
})))]
pub struct Version {
    /// The version's id.
    pub version_id: i64,
    /// Its number within the app: 1, 2, 3 …
    pub version_no: i64,
    /// The file to start.
    pub entrypoint: String,
    /// How long a run may take, in seconds. Absent: the runner's default.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub timeout_seconds: Option<i64>,
    /// A JSON Schema (2020-12) that the input has to match.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub params_schema: Option<Value>,
    /// The SHA-256 of the archive, in lower-case hexadecimal.
    pub artifact_sha256: String,
    /// The Towerfile as it was uploaded.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub towerfile_toml: Option<String>,
    /// Folders to put before `PYTHONPATH`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub import_paths: Option<Vec<String>>,
    /// When it was uploaded.
    pub created_at: Timestamp,
}

/// Answer of `GET /apps/{app}/versions`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "utoipa", derive(utoipa::ToSchema))]
pub struct Versions {
    /// The app's versions, newest first.
    pub versions: Vec<Version>,
}
