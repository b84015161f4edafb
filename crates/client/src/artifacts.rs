//! What jobs left behind.

use bytes::Bytes;
use minitower_vocabulary::wire::runs::Artifacts;
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
        let answer = self.call(Method::GET, &segments(&run, path)?).head().await?;
        Ok(RunArtifact { answer })
    }

    /// The rest of one of these files, from a byte on, as long as its content is the one of that hash. Otherwise all of it: whoever asks
    /// looks at [`RunArtifact::first`].
    pub async fn artifact_from(
        &self,
        run_id: i64,
        path: &str,
        (first, sha256): (u64, &str),
    ) -> Result<RunArtifact, Error> {
        let run = run_id.to_string();
        let call = self.call(Method::GET, &segments(&run, path)?);
        let call =
            call.header("range", &format!("bytes={first}-")).header("if-range", &format!("\"{sha256}\""));
        Ok(RunArtifact { answer: call.head().await? })
    }

    /// Removes one of these files. Needs a token of role admin.
    pub async fn delete_artifact(&self, run_id: i64, path: &str) -> Result<(), Error> {
        let run = run_id.to_string();
        self.call(Method::DELETE, &segments(&run, path)?).done().await
    }
}

/// The path of a call about one artifact. URLs drop some characters and components without a word (WHATWG URL, section
/// 4.4): a path with them would become that of another file.
pub(crate) fn segments<'a>(run: &'a str, path: &'a str) -> Result<Vec<&'a str>, Error> {
    let refused = |reason| Err(Error::ArtifactPath { path: path.to_owned(), reason });
    if path.contains(char::is_control) {
        return refused("its path has control characters");
    }
    if path.split('/').any(|component| matches!(component, "." | "..")) {
        return refused("its path has `.` or `..` as a component");
    }
    Ok(["runs", run, "artifacts"].into_iter().chain(path.split('/')).collect())
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

    /// Which byte of the file it begins with.
    pub fn first(&self) -> u64 {
        // `bytes FIRST-LAST/LENGTH`, only of a part (RFC 9110, section 14.4).
        let range = self.answer.headers().get("content-range").and_then(|range| range.to_str().ok());
        let first = range.and_then(|range| range.strip_prefix("bytes ")?.split('-').next()?.parse().ok());
        first.unwrap_or(0)
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_other_file_is_meant() {
        assert_eq!(segments("7", "a b/c.txt").unwrap(), ["runs", "7", "artifacts", "a b", "c.txt"]);
        for path in ["ab\t.txt", "a/b\nc", ".\n./x", "a\r", "\u{1b}[31m", "a/../b", "./a", "..", "a\0"] {
            let refused = segments("7", path).unwrap_err();
            assert!(matches!(refused, Error::ArtifactPath { .. }), "{path:?}: {refused}");
            assert!(!refused.to_string().contains(char::is_control), "{refused}");
        }
    }
}
