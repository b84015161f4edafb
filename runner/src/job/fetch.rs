//! Getting a version's archive and unpacking it.

use std::fs::File;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use minitower_client::{ArtifactHeaders, Error};
use minitower_towerfile::Limits;
use sha2::{Digest, Sha256};
use tokio::io::AsyncWriteExt;

use super::script::SetupError;
use crate::backoff::Backoff;
use crate::calls::AttemptCalls;
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
) -> Result<ArtifactHeaders, SetupError> {
    let mut backoff = Backoff::new(Duration::from_millis(200), Duration::from_secs(5));
    loop {
        match attempt(calls, workspace).await {
            Ok((headers, digest)) if headers.sha256 == digest => return Ok(headers),
            Ok((headers, digest)) => {
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
) -> Result<(ArtifactHeaders, String), FetchError> {
    let mut artifact = calls.call(TIMEOUT, |attempt| async move { attempt.artifact().await }).await?;
    let mut file = tokio::fs::File::create(workspace.archive()).await?;
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
    Ok((artifact.headers, hex::encode(&digest.finalize())))
}

/// Unpacks the downloaded archive into the workspace.
pub(super) async fn unpack(workspace: &Arc<Workspace>) -> Result<(), SetupError> {
    let workspace = Arc::clone(workspace);
    let work = move || -> Result<(), String> {
        let archive = workspace.archive();
        let file = File::open(&archive).map_err(|error| error.to_string())?;
        minitower_towerfile::unpack(io::BufReader::new(file), &workspace.source(), &Limits::default())
            .map_err(|error| error.to_string())?;
        std::fs::remove_file(archive).map_err(|error| error.to_string())
    };
    let failed = |reason: String| SetupError::Failed(format!("cannot unpack the artifact: {reason}"));
    match tokio::task::spawn_blocking(work).await {
        Ok(unpacked) => unpacked.map_err(failed),
        Err(fault) => Err(failed(fault.to_string())),
    }
}
