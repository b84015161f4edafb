//! `minitower runs artifacts`

use std::path::PathBuf;

use clap::{Args, Subcommand};
use minitower_client::TeamClient;
use minitower_client::wire::runs::Artifact;
use tokio::io::AsyncWrite;

use crate::context::Context;
use crate::failure::{Exit, Failure};
use crate::output::{Cell, bytes, short_sha, time};
use crate::watch::no_such_run;

/// The subcommands.
#[derive(Debug, Subcommand)]
pub enum Artifacts {
    /// List the files that a run left behind
    List(List),
    /// Download one of these files
    Get(Get),
}

/// Flags of `runs artifacts list`.
#[derive(Debug, Args)]
pub struct List {
    /// The run's id
    #[arg(value_name = "RUN", value_parser = super::run_id)]
    run_id: i64,
}

/// Flags of `runs artifacts get`.
#[derive(Debug, Args)]
pub struct Get {
    /// The run's id
    #[arg(value_name = "RUN", value_parser = super::run_id)]
    run_id: i64,
    /// Its path, as the list shows it
    path: String,
    /// Where it is written, - for standard output; default: its name, in this folder
    #[arg(long, short, value_name = "FILE")]
    output: Option<PathBuf>,
    /// Replace a file that is there
    #[arg(long)]
    force: bool,
}

impl Artifacts {
    pub(super) async fn run(self, context: &Context) -> Result<Exit, Failure> {
        match self {
            Self::List(command) => command.run(context).await,
            Self::Get(command) => command.run(context).await,
        }
    }
}

impl List {
    async fn run(self, context: &Context) -> Result<Exit, Failure> {
        let answer = context.team()?.artifacts(self.run_id).await.map_err(no_such_run)?;
        if context.out.is_json() {
            context.out.json(&answer)?;
            return Ok(Exit::Success);
        }
        let empty = format!("Run {} left no files in MINITOWER_ARTIFACTS_DIR.", self.run_id);
        let rows: Vec<_> = answer.artifacts.iter().map(row).collect();
        context.out.table(&["PATH", "SIZE", "TYPE", "SHA256", "CREATED"], &rows, &empty)?;
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

impl Get {
    async fn run(self, context: &Context) -> Result<Exit, Failure> {
        let team = context.team()?;
        let to = match &self.output {
            Some(path) => path.clone(),
            // The name alone: no server says where on this machine something is written.
            None => PathBuf::from(self.path.rsplit('/').next().unwrap_or_default()),
        };
        if to.as_os_str() == "-" {
            self.download(&team, &mut tokio::io::stdout(), "standard output").await?;
            return Ok(Exit::Success);
        }
        let name = to.display().to_string();
        if name.is_empty() || name == ".." || name == "." {
            return Err(Failure::new(format!("{:?} names no file", self.path))
                .help(format_args!("`minitower runs artifacts list {}` shows them", self.run_id)));
        }
        if !self.force && to.symlink_metadata().is_ok() {
            return Err(Failure::new(format!("{name} exists already"))
                .help("name another file with --output, or replace it with --force"));
        }
        // Beside its place, so that half a file never stands there.
        let folder = to.parent().filter(|folder| !folder.as_os_str().is_empty());
        let unwritable = |error| Failure::new(format!("cannot write {name}: {error}"));
        let partial = tempfile::NamedTempFile::new_in(folder.unwrap_or(std::path::Path::new(".")))
            .map_err(unwritable)?;
        let mut file = tokio::fs::File::from_std(partial.reopen().map_err(unwritable)?);
        let written = self.download(&team, &mut file, &name).await?;
        partial.persist(&to).map_err(|error| unwritable(error.error))?;
        if context.out.is_json() {
            context.out.json(&serde_json::json!({"path": self.path, "file": to, "bytes": written}))?;
        } else {
            context.out.line(format_args!("Wrote {name} ({}).", bytes(written)))?;
        }
        Ok(Exit::Success)
    }

    async fn download(
        &self,
        team: &TeamClient,
        to: &mut (impl AsyncWrite + Unpin),
        name: &str,
    ) -> Result<u64, Failure> {
        let help = format!("`minitower runs artifacts list {}` shows the files there are", self.run_id);
        let mut artifact = team
            .artifact(self.run_id, &self.path)
            .await
            .map_err(|error| Failure::from(error).help_not_found(help))?;
        Ok(artifact.write_to(to, name).await?)
    }
}
