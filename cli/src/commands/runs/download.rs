//! `minitower runs artifacts RUN --download DIR`

use std::borrow::Cow;
use std::io::{self, Read as _};
use std::path::{Path, PathBuf};

use data_encoding::HEXLOWER;
use minitower_client::wire::runs::Artifact;
use minitower_client::{Error, TeamClient};
use serde_json::json;
use sha2::{Digest as _, Sha256};
use tokio::fs::OpenOptions;
use tokio::io::AsyncWriteExt as _;

use crate::context::Context;
use crate::failure::{Exit, Explained, Failure};
use crate::output::{Progress, bytes};
use crate::watch::{no_such_run, patiently};

/// Letters of its hash in the name of a file that is not whole.
const HASH_LETTERS: usize = 12;

/// Why a file is not downloaded.
#[derive(Debug, thiserror::Error)]
enum DownloadError {
    #[error("{name} already exists, and is another file")]
    Exists { name: String },
    #[error("the artifact {path:?} would be written outside of the folder")]
    Outside { path: String },
    #[error("cannot write {name}")]
    Unwritable {
        name: String,
        #[source]
        source: io::Error,
    },
    #[error("{name} did not come as it was stored")]
    Damaged { name: String },
}

impl Explained for DownloadError {
    fn help(&self) -> Option<Cow<'static, str>> {
        match self {
            Self::Exists { .. } => Some("name another folder, or overwrite it with --force".into()),
            Self::Outside { .. } => Some("download it alone with `minitower runs artifacts get`".into()),
            Self::Unwritable { .. } => None,
            Self::Damaged { .. } => Some("it is removed again; repeat the command".into()),
        }
    }
}

/// What became of a file.
enum Done {
    Written,
    /// It was there already.
    There,
}

/// Downloads all files of a run.
pub(super) async fn all(context: &Context, run_id: i64, folder: &Path, force: bool) -> Result<Exit, Failure> {
    let team = context.team()?;
    let artifacts = team.artifacts(run_id).await.map_err(no_such_run)?.artifacts;
    // Before the first one is written.
    for artifact in &artifacts {
        place(folder, &artifact.path)?;
    }
    let (mut written, mut there) = (Vec::new(), Vec::new());
    for artifact in &artifacts {
        let to = place(folder, &artifact.path)?;
        match (File { context, team: &team, run_id, artifact, to: &to }).download(force).await? {
            Done::Written => written.push(artifact),
            Done::There => there.push(&artifact.path),
        }
    }
    let all: u64 = written.iter().map(|artifact| artifact.bytes.unsigned_abs()).sum();
    let paths: Vec<_> = written.iter().map(|artifact| &artifact.path).collect();
    let answer = json!({"folder": folder, "written": paths, "unchanged": there, "bytes": all});
    context.out.answer(&answer, |out| {
        if artifacts.is_empty() {
            out.note(format_args!("Run {run_id} left no files in MINITOWER_ARTIFACTS_DIR."));
            return Ok(());
        }
        let files = |n: usize| if n == 1 { "1 file".to_owned() } else { format!("{n} files") };
        out.line(format_args!("Wrote {} to {} ({}).", files(written.len()), folder.display(), bytes(all)))?;
        if !there.is_empty() {
            out.note(format_args!("{} had been downloaded before.", files(there.len())));
        }
        Ok(())
    })?;
    Ok(Exit::Success)
}

/// Where a file goes: a server must not decide that it lies outside of the folder.
fn place(folder: &Path, path: &str) -> Result<PathBuf, DownloadError> {
    let normal = |part: &str| !matches!(part, "" | "." | "..") && !part.contains(['\\', '\0']);
    if path.split('/').all(normal) {
        Ok(folder.join(path))
    } else {
        Err(DownloadError::Outside { path: path.to_owned() })
    }
}

/// A file to download.
struct File<'f> {
    context: &'f Context,
    team: &'f TeamClient,
    run_id: i64,
    artifact: &'f Artifact,
    to: &'f Path,
}

impl File<'_> {
    async fn download(&self, force: bool) -> Result<Done, Failure> {
        let length = self.artifact.bytes.unsigned_abs();
        if let Ok(meta) = self.to.symlink_metadata() {
            if meta.is_file() && meta.len() == length && self.is_whole(self.to)? {
                return Ok(Done::There);
            }
            if !force {
                return Err(DownloadError::Exists { name: self.name() }.into());
            }
        }
        let folder = self.to.parent().unwrap_or(Path::new("."));
        std::fs::create_dir_all(folder).map_err(|error| self.unwritable(error))?;
        let partial = self.partial();
        let bar = self.context.out.progress(&self.artifact.path, length);
        // Goes on from where it was cut off, now and when the command is repeated.
        let fetched = patiently(self.context, || self.fetch_rest(&partial, &bar)).await;
        bar.clear();
        fetched.map_err(|error| {
            Failure::from(error).help("repeat the command: it goes on where the file was cut off")
        })?;
        if !self.is_whole(&partial)? {
            std::fs::remove_file(&partial).map_err(|error| self.unwritable(error))?;
            return Err(DownloadError::Damaged { name: self.name() }.into());
        }
        std::fs::rename(&partial, self.to).map_err(|error| self.unwritable(error))?;
        Ok(Done::Written)
    }

    /// Appends what is missing.
    async fn fetch_rest(&self, partial: &Path, bar: &Progress) -> Result<(), Error> {
        let failed = |source| Error::Write { name: partial.display().to_string(), source };
        let mut file =
            OpenOptions::new().create(true).append(true).read(true).open(partial).await.map_err(failed)?;
        let have = file.metadata().await.map_err(failed)?.len();
        let length = self.artifact.bytes.unsigned_abs();
        if have == length {
            return Ok(());
        }
        let (run, path) = (self.run_id, self.artifact.path.as_str());
        let mut answer = if (1..length).contains(&have) {
            self.team.artifact_from(run, path, (have, &self.artifact.sha256)).await?
        } else {
            self.team.artifact(run, path).await?
        };
        let mut done = answer.first();
        if done != have {
            // It was replaced meanwhile, or a file of another length lay here.
            done = 0;
            file.set_len(0).await.map_err(failed)?;
        }
        while let Some(chunk) = answer.chunk().await? {
            file.write_all(&chunk).await.map_err(failed)?;
            done += chunk.len() as u64;
            bar.set(done);
        }
        file.sync_all().await.map_err(failed)
    }

    /// Whether the file has the content that the server stored.
    fn is_whole(&self, file: &Path) -> Result<bool, DownloadError> {
        let hash = || -> io::Result<String> {
            let (mut file, mut hash) = (std::fs::File::open(file)?, Sha256::new());
            let mut piece = vec![0; 64 * 1024];
            loop {
                match file.read(&mut piece)? {
                    0 => return Ok(HEXLOWER.encode(&hash.finalize())),
                    read => hash.update(&piece[..read]),
                }
            }
        };
        Ok(hash().map_err(|error| self.unwritable(error))? == self.artifact.sha256)
    }

    /// What is not whole lies beside its place under a name of its own, so that the place never holds half a file.
    fn partial(&self) -> PathBuf {
        let name = self.to.file_name().unwrap_or_default().to_string_lossy();
        // The longest name that file systems take has 255 bytes.
        let name = &name[..name.floor_char_boundary(200)];
        let hash = &self.artifact.sha256;
        let hash = hash.get(..HASH_LETTERS).unwrap_or(hash);
        self.to.with_file_name(format!(".{name}.{hash}.part"))
    }

    fn name(&self) -> String {
        self.to.display().to_string()
    }

    fn unwritable(&self, source: io::Error) -> DownloadError {
        DownloadError::Unwritable { name: self.name(), source }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_file_is_written_outside_of_the_folder() {
        let folder = Path::new("/home/ann/results");
        assert_eq!(place(folder, "plots/a b.png").unwrap(), folder.join("plots/a b.png"));
        for path in ["../a", "a/../../b", "/etc/passwd", "a//b", "./a", "", "a\\b", "a\0"] {
            assert!(place(folder, path).is_err(), "{path:?}");
        }
    }
}
