//! What jobs left behind.

use bytes::Bytes;
use minitower_wire::runs::Artifacts;
use reqwest::Method;
use tokio::io::{AsyncWrite, AsyncWriteExt as _};

use crate::pages::Cursor;
use crate::transport::Answer;
use crate::{Error, TeamClient};

impl TeamClient {
    /// The files that a run left behind, by path, all pages.
    pub async fn artifacts(&self, run_id: i64) -> Result<Artifacts, Error> {
        self.list(
            &["runs", &run_id.to_string(), "artifacts"],
            Cursor::After,
            |answer: &mut Artifacts| &mut answer.artifacts,
            |artifact| artifact.path.clone(),
        )
        .await
    }

    /// One of these files, to be read piece by piece.
    pub async fn artifact(&self, run_id: i64, path: &str) -> Result<RunArtifact, Error> {
        let run = run_id.to_string();
        let answer = self.call(Method::GET, &segments(&run, path)).head().await?;
        Ok(RunArtifact { answer })
    }

    /// Removes one of these files. Needs a token of role admin.
    pub async fn delete_artifact(&self, run_id: i64, path: &str) -> Result<(), Error> {
        let run = run_id.to_string();
        self.call(Method::DELETE, &segments(&run, path)).done().await
    }
}

/// The path of a call about one artifact.
pub(crate) fn segments<'a>(run: &'a str, path: &'a str) -> Vec<&'a str> {
    ["runs", run, "artifacts"].into_iter().chain(path.split('/')).collect()
}

/// A file that a run left behind, being downloaded.
#[derive(Debug)]
pub struct RunArtifact {
    answer: Answer,
}

impl RunArtifact {
    /// Its length in bytes, when the server says it.
    pub fn content_length(&self) -> Option<u64> {
        self.answer.content_length()
    }

    /// The next piece, or `None` at the end. A pause longer than the request timeout is a transport error.
    pub async fn chunk(&mut self) -> Result<Option<Bytes>, Error> {
        self.answer.chunk().await
    }

    /// Writes the rest to `to`, and answers how many bytes that were. `name` is what an error calls the place.
    pub async fn write_to(&mut self, to: &mut (impl AsyncWrite + Unpin), name: &str) -> Result<u64, Error> {
        let failed = |source| Error::Write { name: name.to_owned(), source };
        let mut written = 0;
        while let Some(chunk) = self.chunk().await? {
            to.write_all(&chunk).await.map_err(failed)?;
            written += chunk.len() as u64;
        }
        to.flush().await.map_err(failed)?;
        Ok(written)
    }
}
