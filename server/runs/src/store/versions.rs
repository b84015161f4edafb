//! Versions of apps.

use crate::domain::app::Version;
use minitower_kernel::rusqlite::{Row, params};
use minitower_vocabulary::ids::{AppId, VersionId};
use minitower_vocabulary::time::Timestamp;

use crate::store::apps;
use minitower_kernel::{At, at};
use minitower_kernel::{Db, StoreError, Tx};

const COLUMNS: &str = "id, app_id, version_no, entrypoint, timeout_seconds, params_schema, artifact_sha256, artifact_bytes, \
     towerfile_toml, import_paths, max_retries, api, concurrency_key, concurrency_max, hidden_parameters, secrets, created_at";

/// What an upload makes.
#[derive(Debug, Clone)]
pub struct NewVersion {
    /// The file that is started.
    pub entrypoint: String,
    /// Seconds a run may take.
    pub timeout_seconds: Option<i64>,
    /// JSON Schema of the input.
    pub params_schema: Option<String>,
    /// SHA-256 of the archive.
    pub artifact_sha256: String,
    /// Bytes of the archive.
    pub artifact_bytes: i64,
    /// The Towerfile.
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
}

impl NewVersion {
    /// Bytes that it counts towards its team's storage: of its archive, and of the texts that the database keeps.
    pub fn counted(&self) -> i64 {
        let texts = [
            self.params_schema.clone(),
            self.towerfile_toml.clone(),
            self.import_paths(),
            names(&self.hidden_parameters),
            names(&self.secrets),
        ];
        let bytes = texts.iter().flatten().map(String::len).sum::<usize>();
        self.artifact_bytes.saturating_add(i64::try_from(bytes).unwrap_or(i64::MAX))
    }

    fn import_paths(&self) -> Option<String> {
        self.import_paths.as_ref().map(|paths| serde_json::json!(paths).to_string())
    }
}

/// A list of names as it is kept; none: it is empty.
fn names(names: &[String]) -> Option<String> {
    (!names.is_empty()).then(|| serde_json::json!(names).to_string())
}

/// The app's next version.
pub fn insert(tx: &Tx<'_>, app: AppId, new: NewVersion, now: Timestamp) -> Result<Version, StoreError> {
    let number = apps::next_version_no(tx, app, now)?;
    let (import_paths, hidden_parameters) = (new.import_paths(), names(&new.hidden_parameters));
    let id = tx.insert(
        "INSERT INTO app_versions (app_id, version_no, entrypoint, timeout_seconds, params_schema, artifact_sha256,
                                   artifact_bytes, towerfile_toml, import_paths, max_retries, api, hidden_parameters, secrets,
                                   created_at, concurrency_key, concurrency_max)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15, ?16)",
        params![
            app.0,
            number,
            new.entrypoint,
            new.timeout_seconds,
            new.params_schema,
            new.artifact_sha256,
            new.artifact_bytes,
            new.towerfile_toml,
            import_paths,
            new.max_retries,
            new.api,
            hidden_parameters,
            names(&new.secrets),
            At(now),
            new.concurrency.as_ref().and_then(|(key, _)| key.as_deref()),
            new.concurrency.as_ref().map(|(_, max)| max)
        ],
    )?;
    Ok(Version {
        id: VersionId(id),
        app_id: app,
        number,
        entrypoint: new.entrypoint,
        timeout_seconds: new.timeout_seconds,
        params_schema: new.params_schema,
        artifact_sha256: new.artifact_sha256,
        artifact_bytes: new.artifact_bytes,
        towerfile_toml: new.towerfile_toml,
        import_paths: new.import_paths,
        max_retries: new.max_retries,
        api: new.api,
        concurrency: new.concurrency,
        hidden_parameters: new.hidden_parameters,
        secrets: new.secrets,
        created_at: now,
    })
}

/// The app's newest version.
pub fn newest(db: &Db, app: AppId) -> Result<Option<Version>, StoreError> {
    db.one(
        &format!("SELECT {COLUMNS} FROM app_versions WHERE app_id = ?1 AND deleted_at IS NULL ORDER BY version_no DESC LIMIT 1"),
        [app.0],
        read,
    )
}

/// The app's version of that number.
pub fn by_number(db: &Db, app: AppId, number: i64) -> Result<Option<Version>, StoreError> {
    db.one(
        &format!(
            "SELECT {COLUMNS} FROM app_versions WHERE app_id = ?1 AND version_no = ?2 AND deleted_at IS NULL"
        ),
        params![app.0, number],
        read,
    )
}

/// The version of that id.
pub fn by_id(db: &Db, id: VersionId) -> Result<Option<Version>, StoreError> {
    db.one(&format!("SELECT {COLUMNS} FROM app_versions WHERE id = ?1"), [id.0], read)
}

/// An app's versions, newest first, from behind the number `before` if given: at most `limit`, and no more once their Towerfiles and
/// schemas make `max_bytes` of text.
pub fn list(
    db: &Db,
    app: AppId,
    before: Option<i64>,
    limit: i64,
    max_bytes: usize,
) -> Result<Vec<Version>, StoreError> {
    db.all_within(
        &format!(
            "SELECT {COLUMNS} FROM app_versions WHERE app_id = ?1 AND version_no < ?2 AND deleted_at IS NULL ORDER BY version_no DESC LIMIT ?3"
        ),
        params![app.0, before.unwrap_or(i64::MAX), limit],
        max_bytes,
        |row| {
            let version = read(row)?;
            let texts = [&version.towerfile_toml, &version.params_schema];
            let bytes = texts.into_iter().flatten().map(String::len).sum();
            Ok((version, bytes))
        },
    )
}

fn read(row: &Row<'_>) -> Result<Version, StoreError> {
    let id = row.get("id")?;
    let names = |column: &str| -> Result<Option<Vec<String>>, StoreError> {
        let json: Option<String> = row.get(column)?;
        json.map(|json| serde_json::from_str(&json))
            .transpose()
            .map_err(|e| StoreError::Inconsistent(format!("{column} of version {id}: {e}")))
    };
    let (key, max): (_, Option<i64>) = (row.get("concurrency_key")?, row.get("concurrency_max")?);
    Ok(Version {
        id: VersionId(id),
        app_id: AppId(row.get("app_id")?),
        number: row.get("version_no")?,
        entrypoint: row.get("entrypoint")?,
        timeout_seconds: row.get("timeout_seconds")?,
        params_schema: row.get("params_schema")?,
        artifact_sha256: row.get("artifact_sha256")?,
        artifact_bytes: row.get("artifact_bytes")?,
        towerfile_toml: row.get("towerfile_toml")?,
        import_paths: names("import_paths")?,
        max_retries: row.get("max_retries")?,
        api: row.get("api")?,
        concurrency: max.map(|max| (key, max)),
        hidden_parameters: names("hidden_parameters")?.unwrap_or_default(),
        secrets: names("secrets")?.unwrap_or_default(),
        created_at: at(row, "created_at")?,
    })
}
