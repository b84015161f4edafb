//! An object on its way in: a file of the objects folder, hashed as it comes.

use std::io;
use std::path::{Path, PathBuf};

use data_encoding::HEXLOWER;
use sha2::{Digest, Sha256};
use tokio::fs::File;
use tokio::io::{AsyncWriteExt as _, BufWriter};

use super::ObjectError;
use crate::places::Place;

/// Uploads in progress carry this prefix; what a crash leaves of them is removed at start.
pub(super) const UPLOAD_PREFIX: &str = "upload-";
/// Bytes gathered before they go to disk.
const BUFFER: usize = 256 * 1024;

/// An object that is being received: on disk and hashed as it comes, gone when dropped.
#[derive(Debug)]
pub struct Upload {
    path: PathBuf,
    file: BufWriter<File>,
    hash: Sha256,
    bytes: u64,
    limit: u64,
    place: Option<Place>,
}

/// An object that was received whole, not yet kept; gone when dropped.
#[derive(Debug)]
pub struct Received {
    pub(super) path: PathBuf,
    /// Its hash, in hexadecimal digits.
    pub sha256: String,
    /// Its length.
    pub bytes: u64,
    _place: Option<Place>,
}

impl Upload {
    pub(super) async fn begin(dir: &Path, limit: u64, place: Option<Place>) -> Result<Self, ObjectError> {
        let doing = "storing an upload";
        let mut name = [0_u8; 16];
        getrandom::fill(&mut name).map_err(|error| ObjectError::Io { doing, source: error.into() })?;
        let path = dir.join(format!("{UPLOAD_PREFIX}{}", HEXLOWER.encode(&name)));
        let file = File::options()
            .write(true)
            .read(true)
            .create_new(true)
            .open(&path)
            .await
            .map_err(ObjectError::io(doing))?;
        let file = BufWriter::with_capacity(BUFFER, file);
        Ok(Self { path, file, hash: Sha256::new(), bytes: 0, limit, place })
    }

    /// Takes the next bytes.
    pub async fn write(&mut self, chunk: &[u8]) -> Result<(), ObjectError> {
        self.bytes += chunk.len() as u64;
        if self.bytes > self.limit {
            return Err(ObjectError::TooLong { limit: self.limit });
        }
        self.hash.update(chunk);
        self.file.write_all(chunk).await.map_err(ObjectError::io("storing an upload"))
    }

    /// Everything has come: puts it on disk and tells its hash.
    pub async fn finish(mut self) -> Result<Received, ObjectError> {
        let flushed = async {
            self.file.flush().await?;
            self.file.get_ref().sync_all().await
        };
        flushed.await.map_err(ObjectError::io("storing an upload"))?;
        let sha256 = HEXLOWER.encode(&std::mem::take(&mut self.hash).finalize());
        // The file changes hands: an empty path keeps this drop off it.
        Ok(Received {
            path: std::mem::take(&mut self.path),
            sha256,
            bytes: self.bytes,
            _place: self.place.take(),
        })
    }
}

impl Received {
    /// Opens the object for reading, from its start.
    pub fn open(&self) -> Result<std::fs::File, ObjectError> {
        std::fs::File::open(&self.path).map_err(ObjectError::io("reading an upload"))
    }
}

impl Drop for Upload {
    fn drop(&mut self) {
        remove_temporary(&self.path);
    }
}

impl Drop for Received {
    fn drop(&mut self) {
        remove_temporary(&self.path);
    }
}

/// Removes a temporary file, unless it has been renamed since.
fn remove_temporary(path: &Path) {
    if path.as_os_str().is_empty() {
        return;
    }
    if let Err(error) = std::fs::remove_file(path)
        && error.kind() != io::ErrorKind::NotFound
    {
        tracing::warn!(%error, path = %path.display(), "cannot remove a temporary file");
    }
}
