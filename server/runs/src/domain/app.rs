//! Apps and their versions.

use crate::domain::gates::AppRules;
use crate::domain::retention;
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
    /// What it says about its runs.
    pub rules: AppRules,
    /// How long what has ended is kept, as far as it says so itself.
    pub retention: retention::Said,
    /// How many seconds a run usually takes at most: longer ones are late.
    pub expect_seconds: Option<i64>,
    /// How many seconds a run usually waits at most.
    pub expect_wait_seconds: Option<i64>,
    /// When it was made.
    pub created_at: Timestamp,
    /// When it last changed, a new version included.
    pub updated_at: Timestamp,
}

/// What is to change of an app: none: it stays; none inside: it is cleared.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Change {
    /// A sentence for people.
    pub description: Option<Option<String>>,
    /// Whether it is disabled.
    pub disabled: Option<Option<bool>>,
    /// How many runs may be active at the same time, and under which key; no key: its slug.
    pub concurrency: Option<Option<(Option<String>, i64)>>,
    /// Most bytes of the log of a run.
    pub log_bytes: Option<Option<i64>>,
    /// How long what has ended is kept.
    pub retention: Option<retention::Change>,
    /// How many seconds a run usually takes at most.
    pub expect_seconds: Option<Option<i64>>,
    /// How many seconds a run usually waits at most.
    pub expect_wait_seconds: Option<Option<i64>>,
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
    /// How many runs may be active at the same time, and under which key; no key: the app's slug.
    pub concurrency: Option<(Option<String>, i64)>,
    /// The keys of the input whose values are shown to nobody.
    pub hidden_parameters: Vec<String>,
    /// The names of the secrets that its runs get.
    pub secrets: Vec<String>,
    /// When it was uploaded.
    pub created_at: Timestamp,
}
