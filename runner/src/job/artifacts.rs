//! Uploading what a job left in its artifacts folder.

use std::io;
use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::time::Duration;

use minitower_client::Error;
use minitower_client::wire::runner::LeaseLimits;
use tokio::io::AsyncReadExt;
use tokio_util::io::ReaderStream;

use super::found::{Artifact, look, open_beneath};
use super::patience::Patience;
use crate::calls::AttemptCalls;
use crate::lease::Standing;
use crate::steps::Steps;
use crate::workspace::Workspace;

/// What the control plane takes unless the lease says otherwise.
const MOST_BYTES: u64 = 100 * 1024 * 1024;
const MOST_BYTES_OF_ALL: u64 = 1024 * 1024 * 1024;
const MOST: u64 = 1000;
/// Refusals that get a line of their own.
const MOST_TOLD: usize = 20;
/// How long an upload may take: this, and a second for each [`SLOWEST`] bytes.
const CALL_TIMEOUT: Duration = Duration::from_secs(30);
const SLOWEST: u64 = 256 * 1024;
/// How much of a file is read at once.
const READ_BYTES: usize = 64 * 1024;
/// Uploads the plain files in the artifacts folder, by their paths. What cannot be uploaded is told in the log, and in the sentence
/// that is returned; how the job ended does not change by it.
pub(super) async fn upload(
    workspace: &Arc<Workspace>,
    calls: &AttemptCalls,
    steps: &Steps,
    limits: LeaseLimits,
) -> Option<String> {
    let mut report = Report::default();
    let mut left = 0;
    let work = {
        let workspace = Arc::clone(workspace);
        move || look(&workspace.open_artifacts()?)
    };
    let looked = tokio::task::spawn_blocking(work).await;
    match looked.unwrap_or_else(|fault| Err(io::Error::other(fault))) {
        Ok((root, found)) => {
            left = found.files.len();
            for refusal in found.refused {
                report.refuse(refusal, steps).await;
            }
            let root = Arc::new(root);
            let upload = upload_all(&root, found.files, &mut left, calls, &mut report, steps, limits);
            if let Err(stop) = steps.unless_stopped(upload).await {
                tracing::debug!(?stop, left, "the upload of artifacts was stopped");
            }
        }
        Err(error) => report.refuse(format!("the artifacts folder cannot be read: {error}"), steps).await,
    }
    report.finish(left, steps).await
}

/// What happened to the files.
#[derive(Debug, Default)]
struct Report {
    uploaded: usize,
    bytes: u64,
    refused: usize,
}

impl Report {
    async fn refuse(&mut self, reason: String, steps: &Steps) {
        self.refused += 1;
        if self.refused <= MOST_TOLD {
            steps.log.note(format!("minitower-runner: artifact not uploaded: {reason}")).await;
        }
    }

    /// `left`: files that were not tried.
    async fn finish(self, left: usize, steps: &Steps) -> Option<String> {
        let missing = self.refused + left;
        if self.refused > MOST_TOLD {
            let more = self.refused - MOST_TOLD;
            steps.log.note(format!("minitower-runner: {more} more artifacts were not uploaded")).await;
        }
        if left > 0 {
            steps
                .log
                .note(format!("minitower-runner: {left} artifacts were not uploaded: the run had to stop"))
                .await;
        }
        if self.uploaded > 0 {
            let (files, bytes) = (self.uploaded, self.bytes);
            steps.log.note(format!("minitower-runner: artifacts uploaded: {files} ({bytes} bytes)")).await;
        }
        (missing > 0).then(|| format!("artifacts not uploaded: {missing}; the log says why"))
    }
}

async fn upload_all(
    root: &Arc<OwnedFd>,
    files: Vec<Artifact>,
    left: &mut usize,
    calls: &AttemptCalls,
    report: &mut Report,
    steps: &Steps,
    limits: LeaseLimits,
) {
    let most_bytes = limits.artifact_bytes.unwrap_or(MOST_BYTES);
    let most_of_all = limits.artifacts_bytes.unwrap_or(MOST_BYTES_OF_ALL);
    let most = limits.artifacts.unwrap_or(MOST);
    let mut patience = Patience::new();
    for file in files {
        let Artifact { path, bytes } = &file;
        let refused = if *bytes > most_bytes {
            Some(format!("{path:?} has {bytes} bytes; a file may have {most_bytes}"))
        } else if report.bytes + bytes > most_of_all {
            Some(format!(
                "{path:?} has {bytes} bytes; all artifacts of a run together may have {most_of_all}"
            ))
        } else if report.uploaded as u64 >= most {
            Some(format!("{path:?}: a run may have {most} artifacts"))
        } else {
            None
        };
        let outcome = match refused {
            Some(reason) => Err(Refused::ThisOne(reason)),
            None => upload_one(root, &file, calls, steps, &mut patience).await,
        };
        match outcome {
            Ok(()) => {
                patience = Patience::new();
                report.uploaded += 1;
                report.bytes += bytes;
            }
            Err(Refused::ThisOne(reason)) => report.refuse(reason, steps).await,
            Err(Refused::All(reason)) => {
                report.refuse(reason, steps).await;
                // This one is among those that were refused.
                report.refused += *left - 1;
                *left = 0;
                return;
            }
        }
        *left -= 1;
    }
}

/// Why a file is not uploaded.
enum Refused {
    ThisOne(String),
    /// None of the others will be taken either.
    All(String),
}

async fn upload_one(
    root: &Arc<OwnedFd>,
    file: &Artifact,
    calls: &AttemptCalls,
    steps: &Steps,
    patience: &mut Patience,
) -> Result<(), Refused> {
    let Artifact { path, bytes } = file;
    let timeout = CALL_TIMEOUT + Duration::from_secs(bytes / SLOWEST);
    patience.next_call();
    loop {
        let put = calls.call(timeout, |attempt| async move {
            let opened = open_beneath(root, path)
                .map_err(|source| Error::File { name: format!("artifact {path:?}"), source })?;
            let content = tokio::fs::File::from_std(opened).take(*bytes);
            attempt.put_artifact(path, *bytes, ReaderStream::with_capacity(content, READ_BYTES)).await
        });
        let error = match put.await {
            Ok(()) => return Ok(()),
            Err(error) => error,
        };
        match error.status() {
            Some(410) => {
                steps.keeper.advance(Standing::Gone);
                return Err(Refused::All("the attempt is over".to_owned()));
            }
            Some(404) => {
                return Err(Refused::All(
                    "this control plane is older than artifacts; update minitowerd".to_owned(),
                ));
            }
            _ if patience.again(&error).await => {}
            _ if patience.is_spent() => return Err(Refused::All(format!("{path:?}: {error}"))),
            _ => return Err(Refused::ThisOne(format!("{path:?}: {error}"))),
        }
    }
}
