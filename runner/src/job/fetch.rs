//! Getting a version's archive and unpacking it.

use std::fs::File;
use std::io::{self, Seek};
use std::os::fd::AsFd;
use std::sync::Arc;
use std::time::Duration;

use minitower_client::{ArtifactHeaders, Error};
use minitower_towerfile::{ArchiveError, Limits};
use sha2::{Digest, Sha256};
use tokio::io::AsyncWriteExt;

use super::script::SetupError;
use crate::backoff::Backoff;
use crate::calls::AttemptCalls;
use crate::fault::{self, OwnFault};
use crate::hex;
use crate::lease::{Keeper, Standing};
use crate::workspace::Workspace;

/// How long the server may take to answer, and to send the next piece.
const TIMEOUT: Duration = Duration::from_secs(30);
/// Largest archive that is downloaded.
const MAX_BYTES: u64 = 4 * 1024 * 1024 * 1024;

/// Downloads the archive and checks it against its SHA-256, trying again until dropped while the server is away.
pub(super) async fn download(
    calls: &AttemptCalls,
    keeper: &Keeper,
    workspace: &Workspace,
) -> Result<(ArtifactHeaders, File), SetupError> {
    let mut backoff = Backoff::new(Duration::from_millis(200), Duration::from_secs(5));
    loop {
        match attempt(calls, workspace).await {
            Ok((headers, digest, file)) if headers.sha256 == digest => return Ok((headers, file)),
            Ok((headers, digest, _)) => {
                return Err(SetupError::Failed(format!(
                    "the checksum of the artifact is wrong: it should be {}, the download has {digest}",
                    headers.sha256
                )));
            }
            Err(FetchError::Server(error)) if error.status() == Some(410) => {
                keeper.advance(Standing::Gone);
                // The caller stops waiting for us now that the attempt is over.
                std::future::pending::<()>().await;
            }
            Err(FetchError::Server(error)) if error.is_retryable() || error.status() == Some(401) => {
                tracing::warn!(%error, "cannot download the artifact yet");
                backoff.pause().await;
            }
            Err(FetchError::Disk(source)) => return Err(OwnFault::new("store the artifact", source).into()),
            Err(error) => return Err(SetupError::Failed(format!("cannot download the artifact: {error}"))),
        }
    }
}

#[derive(Debug, thiserror::Error)]
enum FetchError {
    #[error(transparent)]
    Server(#[from] Error),
    #[error("cannot store it: {0}")]
    Disk(#[from] io::Error),
    #[error("it is larger than {MAX_BYTES} bytes")]
    TooLarge,
}

async fn attempt(
    calls: &AttemptCalls,
    workspace: &Workspace,
) -> Result<(ArtifactHeaders, String, File), FetchError> {
    let mut artifact = calls.call(TIMEOUT, |attempt| async move { attempt.artifact().await }).await?;
    let mut file = tokio::fs::File::from_std(workspace.new_archive()?);
    let mut digest = Sha256::new();
    let mut bytes = 0;
    while let Some(chunk) = artifact.chunk().await? {
        bytes += chunk.len() as u64;
        if bytes > MAX_BYTES {
            return Err(FetchError::TooLarge);
        }
        digest.update(&chunk);
        file.write_all(&chunk).await?;
    }
    file.flush().await?;
    Ok((artifact.headers, hex::encode(&digest.finalize()), file.into_std().await))
}

/// Unpacks the downloaded archive into the workspace.
pub(super) async fn unpack(workspace: &Arc<Workspace>, mut archive: File) -> Result<(), SetupError> {
    let workspace = Arc::clone(workspace);
    let work = move || -> Result<(), ArchiveError> {
        archive.rewind().map_err(ArchiveError::Read)?;
        let archive = io::BufReader::new(archive);
        minitower_towerfile::unpack_into(archive, workspace.source_folder().as_fd(), &Limits::default())?;
        Ok(())
    };
    let failed = |reason: String| SetupError::Failed(format!("cannot unpack the artifact: {reason}"));
    match tokio::task::spawn_blocking(work).await {
        Ok(Ok(())) => Ok(()),
        Ok(Err(ArchiveError::Read(source) | ArchiveError::Write { source, .. }))
            if fault::is_own(&source) =>
        {
            Err(OwnFault::new("unpack the artifact", source).into())
        }
        Ok(Err(error)) => Err(failed(error.to_string())),
        Err(fault) => Err(failed(fault.to_string())),
    }
}
