//! Downloads a version's archive and unpacks it.

use std::fs::File;
use std::io::{self, Read, Seek};
use std::os::fd::AsFd;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use data_encoding::HEXLOWER;
use minitower_client::{ArtifactHeaders, Error};
use minitower_towerfile::{ArchiveError, Limits};
use sha2::{Digest, Sha256};
use tokio::io::AsyncWriteExt;

use super::error::{Failure, SetupError};
use super::patience::Patience;
use crate::calls::AttemptCalls;
use crate::fault;
use crate::lease::Standing;
use crate::steps::Steps;
use crate::workspace::Workspace;

/// How long the server may take to answer, and to send the next piece.
const TIMEOUT: Duration = Duration::from_secs(30);
/// Largest archive that is downloaded.
const MAX_BYTES: u64 = 4 * 1024 * 1024 * 1024;

/// Downloads the archive and checks its SHA-256. While the server is away, tries again until dropped. After error answers it tries again
/// [a few times](Patience), after a wrong checksum once, because a transfer may have gone wrong.
pub(super) async fn download(
    calls: &AttemptCalls,
    steps: &Steps,
    workspace: &Workspace,
) -> Result<(ArtifactHeaders, File), SetupError> {
    let mut patience = Patience::new();
    let mut told = false;
    let mut was_wrong = false;
    loop {
        let error = match attempt(calls, workspace).await {
            Ok((headers, digest, archive)) if headers.sha256 == digest => return Ok((headers, archive)),
            Ok((headers, digest, _)) => {
                let wrong = Failure::Checksum { expected: headers.sha256, found: digest };
                if std::mem::replace(&mut was_wrong, true) {
                    return Err(wrong.into());
                }
                steps.log.note(format!("minitower-runner: {wrong}; downloading it once more")).await;
                continue;
            }
            Err(FetchError::Server(error)) => error,
            Err(FetchError::Disk(source)) => return Err(SetupError::own("store the artifact")(source)),
            Err(FetchError::TooLarge) => return Err(Failure::TooLarge { limit: MAX_BYTES }.into()),
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
            return Err(Failure::Download(error).into());
        }
    }
}

/// Why one attempt at a download failed.
#[derive(Debug, thiserror::Error)]
enum FetchError {
    #[error(transparent)]
    Server(#[from] Error),
    #[error("cannot store it")]
    Disk(#[from] io::Error),
    #[error("it is too large")]
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
    Ok((artifact.headers, HEXLOWER.encode(&digest.finalize()), file.into_std().await))
}

/// Unpacks the downloaded archive into the workspace, unless the run has to stop.
pub(super) async fn unpack(
    workspace: &Arc<Workspace>,
    mut archive: File,
    steps: &Steps,
) -> Result<(), SetupError> {
    let workspace = Arc::clone(workspace);
    let stopped = Arc::new(AtomicBool::new(false));
    let until_stopped = Arc::clone(&stopped);
    let work = move || -> Result<(), ArchiveError> {
        archive.rewind().map_err(ArchiveError::Read)?;
        let archived = io::BufReader::new(Stoppable { inner: archive, stopped: until_stopped });
        minitower_towerfile::unpack_into(archived, workspace.source_folder().as_fd(), &Limits::default())?;
        Ok(())
    };
    let mut unpacking = tokio::task::spawn_blocking(work);
    let unpacked = match steps.unless_stopped(&mut unpacking).await {
        Ok(unpacked) => unpacked,
        Err(stop) => {
            stopped.store(true, Ordering::Relaxed);
            // The workspace must not be removed while it is being filled.
            let _stopped_soon = unpacking.await;
            return Err(SetupError::Stopped(stop));
        }
    };
    match unpacked {
        Ok(Ok(())) => Ok(()),
        Ok(Err(ArchiveError::Read(source) | ArchiveError::Write { source, .. }))
            if fault::is_own(&source) =>
        {
            Err(SetupError::own("unpack the artifact")(source))
        }
        Ok(Err(error)) => Err(Failure::Unpack(error).into()),
        Err(fault) => Err(Failure::Died(fault).into()),
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
