//! Uploads that become versions.

use std::sync::Arc;

use crate::domain::app::Version;
use crate::store::apps as stored_apps;
use crate::store::usage;
use crate::store::versions::{self, NewVersion};
use minitower_teams::team::TeamPrincipal;
use minitower_towerfile::archive::{Inspection, Limits};
use minitower_towerfile::{Start, Towerfile, inspect};
use minitower_vocabulary::limits::LimitName;
use minitower_vocabulary::names;

use crate::apps::MAX_DESCRIPTION;
use crate::objects::{Limit, Upload};
use crate::runs::limited;
use crate::{Apps, Error, Field, UploadError, apps, masked, schema};

/// The fields that may come beside the archive; they count only where it has no Towerfile. Beside one they are named as ignored.
#[derive(Debug, Clone, Default)]
pub struct UploadFields {
    /// The file to start.
    pub entrypoint: Option<String>,
    /// Seconds a run may take, as text.
    pub timeout_seconds: Option<String>,
    /// JSON Schema of the input, as text.
    pub params_schema_json: Option<String>,
}

/// What an upload says of itself, by its Towerfile or by its fields.
struct Described {
    entrypoint: String,
    timeout_seconds: Option<i64>,
    params_schema: Option<String>,
    towerfile_toml: Option<String>,
    import_paths: Option<Vec<String>>,
    max_retries: i64,
    api: bool,
    concurrency: Option<(Option<String>, i64)>,
    hidden_parameters: Vec<String>,
    secrets: Vec<String>,
    /// Becomes the app's.
    description: Option<String>,
    /// See [`Uploaded::ignored`].
    ignored: Vec<String>,
}

/// A version that was made of an upload.
#[derive(Debug, Clone)]
pub struct Uploaded {
    /// The version.
    pub version: Version,
    /// What of the upload had no effect: keys of its Towerfile that nobody knows, its name if that is another app's, and fields that the
    /// Towerfile overrules. An upload is not refused for them: earlier clients send them, and so does who deploys with `--allow-unknown`.
    pub ignored: Vec<String>,
}

impl Apps {
    /// Begins an upload of a version's archive.
    pub async fn begin_upload(&self, by: &TeamPrincipal) -> Result<Upload, Error> {
        let limit = Limit {
            bytes: self.0.settings.max_artifact_bytes,
            what: "the archive",
            decided_by: " (MINITOWER_MAX_ARTIFACT_SIZE on the server)",
        };
        self.0.begin_object(by.team_id, limit).await
    }

    /// Makes the app's next version of a complete upload. Nothing of a refused one stays on disk.
    pub async fn create_version(
        &self,
        by: &TeamPrincipal,
        app_slug: String,
        upload: Upload,
        fields: UploadFields,
    ) -> Result<Uploaded, Error> {
        let app = self.app(by, app_slug.clone()).await?;
        let received = upload.finish().await?;
        let (file, slug) = (received.open()?, app.slug.clone());
        let checked = tokio::task::spawn_blocking(move || {
            let inspection = inspect(file, &Limits::default()).map_err(UploadError::Archive)?;
            let mut described = match &inspection.towerfile {
                Some(text) => by_towerfile(text, &slug, &fields)?,
                None => by_fields(&fields)?,
            };
            check_entrypoint(&described, &inspection)?;
            if let Some(json) = &described.params_schema {
                described.hidden_parameters = schema::hidden(&schema::check(json)?);
            }
            Ok::<_, Error>(described)
        });
        let described = checked.await.map_err(|_| Error::TaskEnded("the inspection of an upload"))??;
        let limits = self.0.teams.limits(by.team_id);
        limited(
            "timeout_seconds",
            described.timeout_seconds.unwrap_or(1),
            (&limits, LimitName::TimeoutSeconds),
        )?;

        let (sha256, bytes) = (received.sha256.clone(), received.bytes);
        // Nobody removes the object before the row that names it is committed.
        let object = self.0.objects.keep(received).await?;
        let (description, ignored) = (described.description, described.ignored);
        let new = NewVersion {
            entrypoint: described.entrypoint,
            timeout_seconds: described.timeout_seconds,
            params_schema: described.params_schema,
            artifact_sha256: sha256.clone(),
            artifact_bytes: i64::try_from(bytes).unwrap_or(i64::MAX),
            towerfile_toml: described.towerfile_toml,
            import_paths: described.import_paths,
            max_retries: described.max_retries,
            api: described.api,
            concurrency: described.concurrency,
            hidden_parameters: described.hidden_parameters,
            secrets: described.secrets,
        };
        let (now, team) = (self.0.clock.now(), by.team_id);
        let memory = Arc::clone(&self.0.memory);
        let made = self
            .0
            .store
            .write(move |tx| {
                let app = apps::find(tx, team, &app.slug)?;
                if let Some(description) = &description {
                    stored_apps::describe(tx, app.id, description)?;
                }
                memory.usage.admits_bytes((team, &limits), new.counted())?;
                usage::stored(tx, team, new.counted());
                Ok::<_, Error>(versions::insert(tx, app.id, new, now)?)
            })
            .await;
        let fresh = object.fresh;
        drop(object);
        if made.is_err() && fresh {
            self.0.forget_if_unused(sha256).await;
        }
        Ok(Uploaded { version: made?, ignored })
    }
}

fn by_towerfile(text: &str, slug: &str, fields: &UploadFields) -> Result<Described, Error> {
    let (towerfile, unknown) = Towerfile::parse(text).map_err(UploadError::Towerfile)?;
    if towerfile.schedule.is_some() {
        return Err(UploadError::Schedule.into());
    }
    if let Some(description) = towerfile.description.as_deref().filter(|text| !text.is_empty()) {
        names::check_lines(description, MAX_DESCRIPTION).map_err(UploadError::Description)?;
    }
    let import_paths = Some(towerfile.import_paths.clone()).filter(|p| !p.is_empty());
    let mut ignored: Vec<_> =
        unknown.into_iter().map(|warning| format!("Towerfile.{}", warning.key)).collect();
    if towerfile.name != slug {
        ignored.push("Towerfile.app.name".to_owned());
    }
    ignored.extend(overruled(fields)?);
    Ok(Described {
        params_schema: towerfile.params_schema().map(|s| s.to_string()),
        entrypoint: towerfile.start.entrypoint(),
        timeout_seconds: towerfile.timeout_seconds,
        towerfile_toml: Some(masked::towerfile(text)),
        import_paths,
        max_retries: towerfile.max_retries.unwrap_or(0),
        api: towerfile.api,
        concurrency: towerfile.concurrency.map(|shared| (shared.key, shared.max)),
        hidden_parameters: Vec::new(),
        secrets: towerfile.secrets,
        description: towerfile.description.filter(|description| !description.is_empty()),
        ignored,
    })
}

/// The fields that have no effect beside a Towerfile. What is wrong in itself is refused all the same: its author meant something by it.
fn overruled(fields: &UploadFields) -> Result<Vec<String>, Error> {
    let schema = schema_of(fields);
    if let Some(schema) = &schema {
        schema::check(schema)?;
    }
    let given = [
        ("entrypoint", fields.entrypoint.as_deref().is_some_and(|path| !path.is_empty())),
        ("timeout_seconds", timeout_of(fields)?.is_some()),
        ("params_schema_json", schema.is_some()),
    ];
    Ok(given.into_iter().filter(|(_, given)| *given).map(|(name, _)| name.to_owned()).collect())
}

fn schema_of(fields: &UploadFields) -> Option<String> {
    fields.params_schema_json.clone().filter(|schema| !schema.trim().is_empty())
}

fn timeout_of(fields: &UploadFields) -> Result<Option<i64>, Error> {
    let text = fields.timeout_seconds.as_deref().map(str::trim).filter(|text| !text.is_empty());
    let Some(text) = text else { return Ok(None) };
    match text.parse::<i64>() {
        Ok(seconds) if seconds >= 1 => Ok(Some(seconds)),
        _ => {
            let found = text.chars().take(32).collect();
            Err(Error::field("timeout_seconds", Field::NotACount { found }))
        }
    }
}

fn by_fields(fields: &UploadFields) -> Result<Described, Error> {
    let Some(entrypoint) = fields.entrypoint.clone().filter(|e| !e.is_empty()) else {
        return Err(UploadError::NoTowerfile.into());
    };
    Ok(Described {
        entrypoint,
        timeout_seconds: timeout_of(fields)?,
        params_schema: schema_of(fields),
        towerfile_toml: None,
        import_paths: None,
        max_retries: 0,
        api: false,
        concurrency: None,
        hidden_parameters: Vec::new(),
        secrets: Vec::new(),
        description: None,
        ignored: Vec::new(),
    })
}

/// A Towerfile may name any file: the runner obeys its `#!` line. What comes as a field is started by its extension.
fn check_entrypoint(described: &Described, inspection: &Inspection) -> Result<(), Error> {
    let entrypoint = &described.entrypoint;
    let shown: String = entrypoint.chars().take(128).collect();
    let path = match Start::from_entrypoint(entrypoint) {
        Start::Script(path) => path,
        Start::Module(module) => {
            return check_module(&module, described.import_paths.as_deref().unwrap_or_default(), inspection);
        }
    };
    if !inspection.has_file(&path) {
        return Err(UploadError::NoEntrypoint(shown).into());
    }
    let runs = std::path::Path::new(&path).extension().is_some_and(|e| e == "py" || e == "sh");
    if runs || described.towerfile_toml.is_some() {
        Ok(())
    } else {
        Err(UploadError::Extension(shown).into())
    }
}

/// `python -m` looks for a module in the folders of `PYTHONPATH`, the project's root, and where the project is installed, which for a src layout
/// is from `src`.
fn check_module(module: &str, import_paths: &[String], inspection: &Inspection) -> Result<(), Error> {
    let shown: String = module.chars().take(128).collect();
    let is_name = |part: &str| !part.is_empty() && part.chars().all(|c| c.is_alphanumeric() || c == '_');
    if !module.split('.').all(is_name) {
        return Err(UploadError::NotAModule(shown).into());
    }
    let file = module.replace('.', "/");
    let mut folders = import_paths.iter().map(String::as_str).chain([".", "src"]);
    let found = folders.any(|folder| {
        [format!("{folder}/{file}.py"), format!("{folder}/{file}/__main__.py")]
            .iter()
            .any(|path| inspection.has_file(path))
    });
    if found {
        return Ok(());
    }
    let file: String = file.chars().take(128).collect();
    Err(UploadError::NoModule { module: shown, file }.into())
}

#[cfg(test)]
mod tests {
    use minitower_towerfile::slug;
    use minitower_towerfile::variables::{Setter, is_reserved};
    use minitower_vocabulary::names::{RESERVED_SLUGS, Slug, check_secret};

    #[test]
    fn a_towerfile_may_name_exactly_the_apps_that_can_be_made() {
        // The rule stands in two crates that must not know each other; both are known here.
        assert_eq!(RESERVED_SLUGS, slug::RESERVED);
        let long = "a".repeat(33);
        let texts = [
            "",
            "a",
            "ab",
            "abc",
            "a-1",
            "a--",
            "1ab",
            "-ab",
            "Abc",
            "a_c",
            "a.c",
            "äbc",
            "abc\n",
            &long[1..],
            &long,
        ];
        for text in texts.into_iter().chain(slug::RESERVED) {
            assert_eq!(Slug::parse(text).is_ok(), slug::violation(text).is_none(), "{text:?}");
        }
    }

    #[test]
    fn a_secret_may_have_the_names_that_a_towerfile_may_give() {
        let reserved = ["BASHOPTS", "BASH_ENV", "BASH_FUNC_x", "GCONV_PATH", "GLIBC_TUNABLES", "HOME", "IFS"]
            .into_iter()
            .chain([
                "LD_",
                "LD_PRELOAD",
                "LOCPATH",
                "MINITOWER_",
                "PATH",
                "PROMPT_COMMAND",
                "PYTHON",
                "PYTHONPATH",
            ])
            .chain(["SHELL", "SHELLOPTS", "TMPDIR", "VIRTUAL_ENV"]);
        let free = [
            "A",
            "_",
            "a1",
            "path",
            "ENV",
            "PATHS",
            "HOME_",
            "XLD_",
            "GIT_SSH",
            "TZ",
            "LANG",
            "NODE_OPTIONS",
        ];
        for name in reserved.chain(free) {
            assert_eq!(check_secret(name).is_err(), is_reserved(name, Setter::Author), "{name}");
        }
        assert!(free.iter().all(|name| check_secret(name).is_ok()));
    }
}
