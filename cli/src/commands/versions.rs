//! `minitower versions`

use std::borrow::Cow;
use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};

use clap::{Args, Subcommand};
use minitower_client::TeamClient;
use minitower_client::json::NotJson;
use minitower_client::wire::apps::Version;
use minitower_towerfile::shell;
use serde_json::json;

use super::apps::no_such_app;
use super::{FORCE, Force};
use crate::context::Context;
use crate::failure::{Exit, Explained, Failure};
use crate::fields::in_flags;
use crate::output::{Cell, short_sha, time};

/// The API's fields of an upload, and the flags that set them.
const FLAGS: &[(&str, &str)] = &[
    ("entrypoint", "--entrypoint"),
    ("timeout_seconds", "--timeout-seconds"),
    ("params_schema_json", "--params-schema"),
];

/// The subcommands.
#[derive(Debug, Subcommand)]
pub enum Versions {
    /// List an app's versions, newest first
    List(List),
    /// Show one version
    Get(Get),
    /// Upload an archive as a new version
    Upload(Upload),
    /// Delete versions with their runs, logs and artifacts (admins only)
    Delete(Delete),
}

/// Flags of `versions delete`.
#[derive(Debug, Args)]
pub struct Delete {
    /// The versions' numbers
    #[arg(required = true, value_name = "NUMBER")]
    numbers: Vec<i64>,
    /// The app; by default the profile's app
    #[arg(long)]
    app: Option<String>,
    #[command(flatten)]
    force: Force,
}

/// Flags of `versions list`.
#[derive(Debug, Args)]
pub struct List {
    /// The app; by default the profile's app
    #[arg(value_name = "APP")]
    app: Option<String>,
    /// The app, given as a flag
    #[arg(long = "app", value_name = "APP", conflicts_with = "app")]
    app_flag: Option<String>,
}

/// Flags of `versions get`.
#[derive(Debug, Args)]
pub struct Get {
    /// The version's number
    #[arg(value_name = "NUMBER")]
    version_no: i64,
    /// The app; by default the profile's app
    #[arg(long)]
    app: Option<String>,
}

/// Flags of `versions upload`.
#[derive(Debug, Args)]
pub struct Upload {
    /// The app; by default the profile's app
    #[arg(long)]
    app: Option<String>,
    /// The archive to upload, a .tar.gz
    #[arg(long)]
    file: PathBuf,
    /// The file to start, for an archive without a Towerfile
    #[arg(long, value_name = "PATH")]
    entrypoint: Option<String>,
    /// How long a run may take, for an archive without a Towerfile
    #[arg(long, value_name = "SECONDS", requires = "entrypoint")]
    timeout_seconds: Option<i64>,
    /// JSON Schema of the input, for an archive without a Towerfile
    #[arg(long, value_name = "JSON|@FILE", requires = "entrypoint")]
    params_schema: Option<String>,
}

/// Why a version cannot be uploaded.
#[derive(Debug, thiserror::Error)]
enum UploadError {
    #[error("--file: cannot read {}", path.display())]
    File {
        path: PathBuf,
        #[source]
        source: io::Error,
    },
    #[error("--params-schema: cannot read {}", path.display())]
    Schema {
        path: PathBuf,
        #[source]
        source: io::Error,
    },
    #[error("--params-schema is not valid JSON")]
    SchemaNotJson(#[source] NotJson),
}

impl Explained for UploadError {
    fn help(&self) -> Option<Cow<'static, str>> {
        match self {
            Self::SchemaNotJson(_) => Some("write a JSON Schema, or @FILE to read one from a file".into()),
            Self::File { .. } | Self::Schema { .. } => None,
        }
    }
}

impl Delete {
    async fn run(self, context: &Context) -> Result<Exit, Failure> {
        let (app, team) = (context.app(self.app.as_deref())?, context.team()?);
        for number in &self.numbers {
            let deleted = team.delete_version(&app, *number, self.force.force).await;
            deleted.map_err(|error| {
                Failure::from(in_flags(error, FORCE))
                    .help_not_found("`minitower versions list` shows the existing versions")
            })?;
            context.out.note(format_args!("Version {number} of {app} is deleted."));
        }
        context.out.answer(&json!({"app": app, "deleted": self.numbers}), |_| Ok(()))?;
        Ok(Exit::Success)
    }
}

impl Versions {
    /// Carries the subcommand out.
    pub async fn run(self, context: &Context) -> Result<Exit, Failure> {
        match self {
            Self::List(command) => command.run(context).await,
            Self::Get(command) => command.run(context).await,
            Self::Upload(command) => command.run(context).await,
            Self::Delete(command) => command.run(context).await,
        }
    }
}

impl List {
    async fn run(self, context: &Context) -> Result<Exit, Failure> {
        let app = context.app(self.app.as_deref().or(self.app_flag.as_deref()))?;
        let answer = context.team()?.versions(&app).await.map_err(no_such_app)?;
        context.out.answer(&answer, |out| {
            let rows = answer.versions.iter().map(|version| {
                vec![
                    Cell::new(version.version_no),
                    Cell::new(&version.entrypoint),
                    Cell::new(short_sha(&version.artifact_sha256)),
                    Cell::new(time(version.created_at)),
                ]
            });
            let header = ["VERSION", "ENTRYPOINT", "SHA256", "CREATED"];
            let empty = format!("{app} has no versions yet; `minitower deploy` uploads one.");
            out.table(&header, &rows.collect::<Vec<_>>(), &empty)
        })?;
        Ok(Exit::Success)
    }
}

impl Get {
    async fn run(self, context: &Context) -> Result<Exit, Failure> {
        let app = context.app(self.app.as_deref())?;
        let version = context.team()?.version(&app, self.version_no).await.map_err(|error| {
            Failure::from(error).help_not_found(format_args!(
                "`minitower versions list --app {}` shows the existing versions",
                shell::quoted(&app)
            ))
        })?;
        context.out.answer(&version, |out| {
            out.details(&[
                ("app", Some(Cell::new(&app))),
                ("version", Some(Cell::new(version.version_no))),
                ("id", Some(Cell::new(version.version_id))),
                ("entrypoint", Some(Cell::new(&version.entrypoint))),
                ("timeout", version.timeout_seconds.map(|seconds| Cell::new(format_args!("{seconds}s")))),
                ("import paths", version.import_paths.as_ref().map(|paths| Cell::new(paths.join(" ")))),
                ("parameters", version.params_schema.as_ref().map(Cell::new)),
                ("sha256", Some(Cell::new(&version.artifact_sha256))),
                ("created", Some(Cell::new(time(version.created_at)))),
            ])
        })?;
        Ok(Exit::Success)
    }
}

impl Upload {
    async fn run(self, context: &Context) -> Result<Exit, Failure> {
        let app = context.app(self.app.as_deref())?;
        let team = context.team()?;
        let upload = minitower_client::Upload {
            entrypoint: self.entrypoint,
            timeout_seconds: self.timeout_seconds,
            params_schema: self.params_schema.as_deref().map(schema).transpose()?,
            ..open(&self.file)?
        };
        let version = upload_with_progress(context, &team, &app, upload).await?;
        context.out.answer(&version, |out| {
            out.details(&[
                ("app", Some(Cell::new(&app))),
                ("version", Some(Cell::new(version.version_no))),
                ("entrypoint", Some(Cell::new(&version.entrypoint))),
                ("sha256", Some(Cell::new(&version.artifact_sha256))),
            ])?;
            out.note(format_args!("Run it: `minitower run {}`", shell::quoted(&app)));
            Ok(())
        })?;
        Ok(Exit::Success)
    }
}

fn open(path: &Path) -> Result<minitower_client::Upload, UploadError> {
    let archive = File::open(path).map_err(|source| UploadError::File { path: path.to_owned(), source })?;
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    Ok(minitower_client::Upload::new(archive, name))
}

fn schema(given: &str) -> Result<serde_json::Value, UploadError> {
    let text = match given.strip_prefix('@') {
        Some(path) => std::fs::read_to_string(path)
            .map_err(|source| UploadError::Schema { path: path.into(), source })?,
        None => given.to_owned(),
    };
    serde_json::from_str(&text).map_err(|error| UploadError::SchemaNotJson(error.into()))
}

/// Uploads with a progress bar on a terminal.
pub(super) async fn upload_with_progress(
    context: &Context,
    team: &TeamClient,
    app: &str,
    upload: minitower_client::Upload,
) -> Result<Version, Failure> {
    let size = upload.archive.metadata().map_or(0, |metadata| metadata.len());
    let progress = context.out.progress("Uploading", size);
    let bar = progress.clone();
    let answer = team.upload_version(app, upload, move |sent| bar.set(sent)).await;
    progress.clear();
    answer.map_err(|error| in_flags(error, FLAGS)).map_err(|error| match error.status() {
        Some(404) => Failure::from(error).help(format_args!("`minitower apps create {app}` creates the app")),
        Some(413) => Failure::from(error).help(
            "leave large files out with a .towerignore, or ask for a higher MINITOWER_MAX_ARTIFACT_SIZE",
        ),
        _ => error.into(),
    })
}
