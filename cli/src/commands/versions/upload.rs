//! `minitower versions upload`

use std::fs::File;
use std::path::{Path, PathBuf};

use clap::Args;
use minitower_client::TeamClient;
use minitower_client::wire::apps::Version;

use crate::context::Context;
use crate::failure::{Exit, Failure};
use crate::output::Cell;

/// Flags of `versions upload`.
#[derive(Debug, Args)]
pub struct Upload {
    /// The app; default: the profile's
    #[arg(long)]
    app: Option<String>,
    /// The archive, a .tar.gz
    #[arg(long)]
    file: PathBuf,
    /// What to start, for an archive without a Towerfile
    #[arg(long, value_name = "PATH")]
    entrypoint: Option<String>,
    /// How long a run may take, for an archive without a Towerfile
    #[arg(long, value_name = "SECONDS", requires = "entrypoint")]
    timeout_seconds: Option<i64>,
    /// JSON Schema of the input, for an archive without a Towerfile
    #[arg(long, value_name = "JSON|@FILE", requires = "entrypoint")]
    params_schema: Option<String>,
}

impl Upload {
    pub(super) async fn run(self, context: &Context) -> Result<Exit, Failure> {
        let app = context.app(self.app.as_deref())?;
        let team = context.team()?;
        let upload = minitower_client::Upload {
            entrypoint: self.entrypoint,
            timeout_seconds: self.timeout_seconds,
            params_schema: self.params_schema.as_deref().map(schema).transpose()?,
            ..open(&self.file)?
        };
        let version = upload_with_progress(context, &team, &app, upload).await?;
        if context.out.is_json() {
            context.out.json(&version)?;
            return Ok(Exit::Success);
        }
        context.out.details(&[
            ("app", Some(Cell::new(&app))),
            ("version", Some(Cell::new(version.version_no))),
            ("entrypoint", Some(Cell::new(&version.entrypoint))),
            ("sha256", Some(Cell::new(&version.artifact_sha256))),
        ])?;
        context.out.note(format_args!("Run it: `minitower runs create --app {app} --wait`"));
        Ok(Exit::Success)
    }
}

fn open(path: &Path) -> Result<minitower_client::Upload, Failure> {
    let archive = File::open(path)
        .map_err(|error| Failure::new(format!("--file: cannot read {}: {error}", path.display())))?;
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    Ok(minitower_client::Upload::new(archive, name))
}

fn schema(given: &str) -> Result<serde_json::Value, Failure> {
    let text = match given.strip_prefix('@') {
        Some(path) => std::fs::read_to_string(path)
            .map_err(|error| Failure::new(format!("--params-schema: cannot read {path}: {error}")))?,
        None => given.to_owned(),
    };
    serde_json::from_str(&text)
        .map_err(|error| Failure::new(format!("--params-schema is not valid JSON: {error}")))
}

/// Uploads with a progress bar on a terminal.
pub(in crate::commands) async fn upload_with_progress(
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
    answer.map_err(|error| match error.status() {
        Some(404) => Failure::from(error).help(format_args!("`minitower apps create {app}` makes the app")),
        Some(413) => Failure::from(error).help(
            "leave large files out with a .towerignore, or ask for a higher MINITOWER_MAX_ARTIFACT_SIZE",
        ),
        _ => error.into(),
    })
}
