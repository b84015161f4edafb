//! Versions of an app, and their upload.

use std::fs::File;
use std::io::Seek;
use std::time::Duration;

use futures_util::StreamExt;
use minitower_vocabulary::wire::apps::{Version, Versions};
use reqwest::multipart::{Form, Part};
use reqwest::{Body, Method};
use serde_json::Value;
use tokio::sync::watch;
use tokio_util::io::ReaderStream;

use crate::pages::Cursor;
use crate::{Error, TeamClient, TransportReason};

/// Bytes read from the archive at a time.
const CHUNK_BYTES: usize = 64 * 1024;

/// An archive to upload.
#[derive(Debug)]
pub struct Upload {
    /// The `.tar.gz`; read from its beginning, wherever it stands.
    pub archive: File,
    /// The archive's name for people, such as `artifact.tar.gz`.
    pub name: String,
    /// What to start, for an archive without a Towerfile.
    pub entrypoint: Option<String>,
    /// Seconds a run may take, for an archive without a Towerfile.
    pub timeout_seconds: Option<i64>,
    /// JSON Schema of the input, for an archive without a Towerfile.
    pub params_schema: Option<Value>,
}

impl Upload {
    /// An archive that says everything itself, in its Towerfile.
    pub fn new(archive: File, name: impl Into<String>) -> Self {
        Self { archive, name: name.into(), entrypoint: None, timeout_seconds: None, params_schema: None }
    }
}

impl TeamClient {
    /// The app's versions, newest first, all pages.
    pub async fn versions(&self, app: &str) -> Result<Versions, Error> {
        self.list(
            &["apps", app, "versions"],
            Cursor::Before,
            |answer: &mut Versions| &mut answer.versions,
            |version| version.version_no,
        )
        .await
    }

    /// The app's version of that number, or its newest one. Asks the list, which older servers have too; they answer it whole.
    pub async fn find_version(&self, app: &str, version_no: Option<i64>) -> Result<Option<Version>, Error> {
        let mut query = vec![("limit", 1)];
        query.extend(version_no.map(|number| ("before", number.saturating_add(1))));
        let page: Versions =
            self.call(Method::GET, &["apps", app, "versions"]).query(&query).decode().await?;
        Ok(page.versions.into_iter().find(|version| version_no.is_none_or(|no| version.version_no == no)))
    }

    /// One version.
    pub async fn version(&self, app: &str, version_no: i64) -> Result<Version, Error> {
        self.call(Method::GET, &["apps", app, "versions", &version_no.to_string()]).decode().await
    }

    /// Deletes a version with its runs. Runs that have not ended are in the way, unless `force` cancels them. Needs a token of role admin.
    pub async fn delete_version(&self, app: &str, version_no: i64, force: bool) -> Result<(), Error> {
        let number = version_no.to_string();
        self.call(Method::DELETE, &["apps", app, "versions", &number]).query(&[("force", force)]).done().await
    }

    /// Uploads a version, streaming the archive from disk. `progress` hears how many bytes have been sent so far.
    ///
    /// There is no deadline for the whole: a slow line is no error. A pause longer than the request timeout is.
    pub async fn upload_version(
        &self,
        app: &str,
        upload: Upload,
        progress: impl Fn(u64) + Send + Sync + 'static,
    ) -> Result<Version, Error> {
        let (sent, mut heard) = watch::channel(0);
        let (form, length) = form(upload, sent, progress)?;
        let pause = self.transport.request_timeout();
        let call = self
            .call(Method::POST, &["apps", app, "versions"])
            // The watchdog below is the deadline; this one only has to be out of its way.
            .timeout(Duration::from_hours(24))
            .multipart(form)
            .decode();
        tokio::pin!(call);
        let mut sending = true;
        loop {
            tokio::select! {
                answer = &mut call => return answer.map_err(|error| cut(error, *heard.borrow() < length)),
                step = tokio::time::timeout(pause, heard.changed()), if sending => match step {
                    Ok(Ok(())) => {}
                    // The archive was read, or the connection broke and let go of it: what is left is the answer.
                    Ok(Err(_)) => sending = false,
                    Err(_) => return Err(self.transport.silent(pause)),
                },
                () = tokio::time::sleep(pause), if !sending => return Err(self.transport.silent(pause)),
            }
        }
    }
}

/// A server that refuses an archive for its size may close before it was read, and the answer is lost in the
/// broken pipe.
fn cut(error: Error, unread: bool) -> Error {
    match error {
        Error::Transport { origin, reason: TransportReason::Other(_) } if unread => {
            Error::Transport { origin, reason: TransportReason::UploadCut }
        }
        error => error,
    }
}

/// The form, and the bytes of the archive in it.
fn form(
    mut upload: Upload,
    sent: watch::Sender<u64>,
    progress: impl Fn(u64) + Send + Sync + 'static,
) -> Result<(Form, u64), Error> {
    let length = upload.archive.rewind().and_then(|()| upload.archive.metadata());
    let length = length.map_err(|source| Error::File { name: upload.name.clone(), source })?.len();
    let file = tokio::fs::File::from_std(upload.archive);
    let mut total = 0;
    let body = ReaderStream::with_capacity(file, CHUNK_BYTES).map(move |chunk| {
        if let Ok(bytes) = &chunk {
            total += bytes.len() as u64;
            progress(total);
            sent.send_replace(total);
        }
        chunk
    });
    let part = Part::stream_with_length(Body::wrap_stream(body), length).file_name(upload.name);
    // Small fields first, so that a server that streams knows them when the archive begins.
    let mut form = Form::new();
    if let Some(entrypoint) = upload.entrypoint {
        form = form.text("entrypoint", entrypoint);
    }
    if let Some(seconds) = upload.timeout_seconds {
        form = form.text("timeout_seconds", seconds.to_string());
    }
    if let Some(schema) = &upload.params_schema {
        form = form.text("params_schema_json", schema.to_string());
    }
    Ok((form.part("artifact", part), length))
}
