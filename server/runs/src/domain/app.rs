//! Apps and their versions.

use minitower_vocabulary::ids::{AppId, TeamId, VersionId};
use minitower_vocabulary::time::Timestamp;

/// An app of a team.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct App {
    /// Its id.
    pub id: AppId,
    /// Whose it is.
    pub team_id: TeamId,
    /// Its slug, unique within the team.
    pub slug: String,
    /// A sentence for people.
    pub description: Option<String>,
    /// A disabled app refuses new runs.
    pub disabled: bool,
    /// When it was made.
    pub created_at: Timestamp,
    /// When it last changed, a new version included.
    pub updated_at: Timestamp,
}

/// A version of an app: an archive and how to start it. Never changes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Version {
    /// Its id.
    pub id: VersionId,
    /// Whose it is.
    pub app_id: AppId,
    /// 1, 2, 3 … within the app.
    pub number: i64,
    /// The file that is started.
    pub entrypoint: String,
    /// Seconds a run may take; none: the runner's default.
    pub timeout_seconds: Option<i64>,
    /// JSON Schema of the input, as JSON text.
    pub params_schema: Option<String>,
    /// SHA-256 of the archive, lower-case hexadecimal; also its name in the object store.
    pub artifact_sha256: String,
    /// Bytes of the archive.
    pub artifact_bytes: i64,
    /// The Towerfile as it was uploaded.
    pub towerfile_toml: Option<String>,
    /// Directories put in front of `PYTHONPATH`.
    pub import_paths: Option<Vec<String>>,
    /// Default for the retries of its runs.
    pub max_retries: i64,
    /// Whether its runs get a token for the API.
    pub api: bool,
    /// The keys of the input whose values are shown to nobody.
    pub hidden_parameters: Vec<String>,
    /// When it was uploaded.
    pub created_at: Timestamp,
}
