//! Getting a version's archive and unpacking it.

use std::fs::File;
use std::io::{self, Read};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use minitower_client::{ArtifactHeaders, Error};
use minitower_towerfile::Limits;
use sha2::{Digest, Sha256};
use tokio::io::AsyncWriteExt;

use super::patience::Patience;
use super::script::SetupError;
use crate::calls::AttemptCalls;
use crate::hex;
use crate::lease::Standing;
use crate::steps::Steps;
use crate::workspace::Workspace;

/// How long the server may take to answer, and to send the next piece.
const TIMEOUT: Duration = Duration::from_secs(30);
/// Largest archive that is downloaded.
const MAX_BYTES: u64 = 4 * 1024 * 1024 * 1024;

/// Downloads the archive and checks it against its SHA-256, trying again until dropped while the server is away. Answers of
/// trouble are taken [a few times](Patience), a wrong checksum once: a transfer may have gone wrong.
pub(super) async fn download(
    calls: &AttemptCalls,
    steps: &Steps,
    workspace: &Workspace,
) -> Result<ArtifactHeaders, SetupError> {
    let mut patience = Patience::new();
    let mut told = false;
    let mut was_wrong = false;
    loop {
        let error = match attempt(calls, workspace).await {
            Ok((headers, digest)) if headers.sha256 == digest => return Ok(headers),
            Ok((headers, digest)) => {
                let wrong = format!(
                    "the checksum of the artifact is wrong: it should be {}, the download has {digest}",
                    headers.sha256
                );
                if std::mem::replace(&mut was_wrong, true) {
                    return Err(SetupError::Failed(wrong));
                }
                steps.log.note(format!("minitower-runner: {wrong}; downloading it once more")).await;
                continue;
            }
            Err(FetchError::Server(error)) => error,
            Err(error) => return Err(SetupError::Failed(format!("cannot download the artifact: {error}"))),
        };
        if error.status() == Some(410) {
            steps.keeper.advance(Standing::Gone);
            // The caller stops waiting for us now that the attempt is over.
            std::future::pending::<()>().await;
        }
        tracing::warn!(%error, "cannot download the artifact yet");
        if !std::mem::replace(&mut told, true) && !error.is_transport() {
            steps.log.note(format!("minitower-runner: cannot download the artifact yet: {error}")).await;
        }
        if !patience.again(&error).await {
            return Err(SetupError::Failed(format!("cannot download the artifact: {error}")));
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

/// Unpacks the downloaded archive into the workspace, unless the run has to stop.
pub(super) async fn unpack(workspace: &Arc<Workspace>, steps: &Steps) -> Result<(), SetupError> {
    let workspace = Arc::clone(workspace);
    let stopped = Arc::new(AtomicBool::new(false));
    let until_stopped = Arc::clone(&stopped);
    let work = move || -> Result<(), String> {
        let archive = workspace.archive();
        let file = File::open(&archive).map_err(|error| error.to_string())?;
        let archived = io::BufReader::new(Stoppable { inner: file, stopped: until_stopped });
        minitower_towerfile::unpack(archived, &workspace.source(), &Limits::default())
            .map_err(|error| error.to_string())?;
        std::fs::remove_file(archive).map_err(|error| error.to_string())
    };
    let failed = |reason: String| SetupError::Failed(format!("cannot unpack the artifact: {reason}"));
    let mut unpacking = tokio::task::spawn_blocking(work);
    let unpacked = match steps.unless_stopped(&mut unpacking).await {
        Ok(unpacked) => unpacked,
        Err(stop) => {
            stopped.store(true, Ordering::Relaxed);
            // The workspace is not removed under it.
            let _stopped_soon = unpacking.await;
            return Err(SetupError::Stopped(stop));
        }
    };
    match unpacked {
        Ok(unpacked) => unpacked.map_err(failed),
        Err(fault) => Err(failed(fault.to_string())),
    }
}

/// A reader that fails once it is stopped.
struct Stoppable {
    inner: File,
    stopped: Arc<AtomicBool>,
}

impl Read for Stoppable {
    fn read(&mut self, bytes: &mut [u8]) -> io::Result<usize> {
        if self.stopped.load(Ordering::Relaxed) {
            return Err(io::Error::other("stopped"));
        }
        self.inner.read(bytes)
    }
}
