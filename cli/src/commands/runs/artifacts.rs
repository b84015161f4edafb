//! `minitower runs artifacts`

use std::borrow::Cow;
use std::io;
use std::path::{Path, PathBuf};

use clap::{Args, Subcommand};
use minitower_client::TeamClient;
use minitower_client::wire::runs::Artifact;
use tokio::io::AsyncWrite;

use super::download;
use crate::context::Context;
use crate::failure::{Exit, Explained, Failure};
use crate::output::{Cell, bytes, short_sha, time};
use crate::watch::{no_such_run, run_id};

/// Flags of `runs artifacts`.
#[derive(Debug, Args)]
#[command(args_conflicts_with_subcommands = true, subcommand_negates_reqs = true)]
pub struct Artifacts {
    #[command(subcommand)]
    command: Option<Command>,
    /// The run's id: list its files, or with --download download all of them
    #[arg(value_name = "RUN", value_parser = run_id, required = true)]
    run_id: Option<i64>,
    /// Download all files into this folder; one that was cut off goes on where it stopped
    #[arg(long, value_name = "DIR")]
    download: Option<PathBuf>,
    /// Overwrite files that are different
    #[arg(long, requires = "download")]
    force: bool,
}

/// The subcommands.
#[derive(Debug, Subcommand)]
enum Command {
    /// List the files that a run produced
    List(List),
    /// Download one of these files
    Get(Get),
}

/// Flags of `runs artifacts list`.
#[derive(Debug, Args)]
struct List {
    /// The run's id
    #[arg(value_name = "RUN", value_parser = run_id)]
    run_id: i64,
}

/// Flags of `runs artifacts get`.
#[derive(Debug, Args)]
struct Get {
    /// The run's id
    #[arg(value_name = "RUN", value_parser = run_id)]
    run_id: i64,
    /// The file's path, as `list` shows it
    path: String,
    /// Where to write it, - for standard output; by default under its own name in this folder
    #[arg(long, short, value_name = "FILE")]
    output: Option<PathBuf>,
    /// Overwrite an existing file
    #[arg(long)]
    force: bool,
}

impl Artifacts {
    pub(super) async fn run(self, context: &Context) -> Result<Exit, Failure> {
        match (self.command, self.run_id) {
            (Some(Command::List(command)), _) => command.run(context).await,
            (Some(Command::Get(command)), _) => command.run(context).await,
            (None, run_id) => {
                let run_id = run_id.unwrap_or_default();
                match self.download {
                    Some(folder) => download::all(context, run_id, &folder, self.force).await,
                    None => List { run_id }.run(context).await,
                }
            }
        }
    }
}

impl List {
    async fn run(self, context: &Context) -> Result<Exit, Failure> {
        let answer = context.team()?.artifacts(self.run_id).await.map_err(no_such_run)?;
        context.out.answer(&answer, |out| {
            let empty = format!("Run {} left no files in MINITOWER_ARTIFACTS_DIR.", self.run_id);
            let rows: Vec<_> = answer.artifacts.iter().map(row).collect();
            out.table(&["PATH", "SIZE", "TYPE", "SHA256", "CREATED"], &rows, &empty)
        })?;
        Ok(Exit::Success)
    }
}

fn row(artifact: &Artifact) -> Vec<Cell> {
    vec![
        Cell::new(&artifact.path),
        Cell::new(bytes(artifact.bytes.unsigned_abs())),
        Cell::new(&artifact.content_type),
        Cell::new(short_sha(&artifact.sha256)),
        Cell::new(time(artifact.created_at)),
    ]
}

/// Why an artifact cannot be saved.
#[derive(Debug, thiserror::Error)]
enum FileError {
    #[error("{path:?} does not name a file")]
    NotAFile { run_id: i64, path: String },
    #[error("{name} already exists")]
    Exists { name: String },
    #[error("cannot write {name}")]
    Unwritable {
        name: String,
        #[source]
        source: io::Error,
    },
}

impl Explained for FileError {
    fn help(&self) -> Option<Cow<'static, str>> {
        match self {
            Self::NotAFile { run_id, .. } => {
                Some(format!("`minitower runs artifacts list {run_id}` shows the existing files").into())
            }
            Self::Exists { .. } => {
                Some("name another file with --output, or overwrite this one with --force".into())
            }
            Self::Unwritable { .. } => None,
        }
    }
}

impl Get {
    async fn run(self, context: &Context) -> Result<Exit, Failure> {
        let team = context.team()?;
        let to = match &self.output {
            Some(path) => path.clone(),
            // The name alone: a server must not decide where on this machine a file is written.
            None => PathBuf::from(self.path.rsplit('/').next().unwrap_or_default()),
        };
        if to.as_os_str() == "-" {
            self.download(&team, &mut tokio::io::stdout(), "standard output").await?;
            return Ok(Exit::Success);
        }
        let name = to.display().to_string();
        if name.is_empty() || name == ".." || name == "." {
            return Err(FileError::NotAFile { run_id: self.run_id, path: self.path }.into());
        }
        if !self.force && to.symlink_metadata().is_ok() {
            return Err(FileError::Exists { name }.into());
        }
        // Written beside its place and moved there at the end, so that the place never holds half a file.
        let folder = to.parent().filter(|folder| !folder.as_os_str().is_empty());
        let unwritable = |source| FileError::Unwritable { name: name.clone(), source };
        let partial =
            tempfile::NamedTempFile::new_in(folder.unwrap_or(Path::new("."))).map_err(unwritable)?;
        let mut file = tokio::fs::File::from_std(partial.reopen().map_err(unwritable)?);
        let written = self.download(&team, &mut file, &name).await?;
        partial.persist(&to).map_err(|error| unwritable(error.error))?;
        let answer = serde_json::json!({"path": self.path, "file": to, "bytes": written});
        context.out.answer(&answer, |out| out.line(format_args!("Wrote {name} ({}).", bytes(written))))?;
        Ok(Exit::Success)
    }

    async fn download(
        &self,
        team: &TeamClient,
        to: &mut (impl AsyncWrite + Unpin),
        name: &str,
    ) -> Result<u64, Failure> {
        let help = format!("`minitower runs artifacts list {}` shows the existing files", self.run_id);
        let mut artifact = team
            .artifact(self.run_id, &self.path)
            .await
            .map_err(|error| Failure::from(error).help_not_found(help))?;
        Ok(artifact.write_to(to, name).await?)
    }
}
