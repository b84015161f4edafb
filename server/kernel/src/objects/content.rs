//! The content of an object, read as it is sent on.

use std::io;
use std::ops::Range;
use std::sync::Arc;

use bytes::Bytes;
use futures_util::StreamExt as _;
use futures_util::stream::{self, BoxStream};
use tokio::fs::File;
use tokio::io::{AsyncReadExt as _, AsyncSeekExt as _};
use tokio_util::io::ReaderStream;

use super::ObjectError;
use super::bucket::Bucket;

/// Bytes read from disk at a time.
const CHUNK_BYTES: usize = 64 * 1024;

/// What is read of an object, as it comes.
pub(super) type Pieces = BoxStream<'static, io::Result<Bytes>>;

/// An object that is there and as long as it should be.
#[derive(Debug)]
pub struct Content {
    bytes: u64,
    source: Source,
}

#[derive(Debug)]
enum Source {
    File(File),
    Bucket { bucket: Arc<Bucket>, sha256: String },
}

impl Content {
    pub(super) fn of_file(file: File, bytes: u64) -> Self {
        Self { bytes, source: Source::File(file) }
    }

    pub(super) fn of_bucket(bucket: Arc<Bucket>, sha256: String, bytes: u64) -> Self {
        Self { bytes, source: Source::Bucket { bucket, sha256 } }
    }

    /// Its length.
    pub fn bytes(&self) -> u64 {
        self.bytes
    }

    /// All of it.
    pub async fn whole(self) -> Result<Pieces, ObjectError> {
        let all = 0..self.bytes;
        self.part(all).await
    }

    /// A part of it, which lies within its length.
    pub async fn part(self, part: Range<u64>) -> Result<Pieces, ObjectError> {
        if part.is_empty() {
            return Ok(stream::empty().boxed());
        }
        match self.source {
            Source::File(mut file) => {
                if part.start > 0 {
                    let sought = file.seek(io::SeekFrom::Start(part.start)).await;
                    sought.map_err(ObjectError::io("reading an object"))?;
                }
                let part = file.take(part.end - part.start);
                Ok(ReaderStream::with_capacity(part, CHUNK_BYTES).boxed())
            }
            Source::Bucket { bucket, sha256 } => bucket.get(&sha256, part).await,
        }
    }
}
