//! Sending the files of a backup, and reading them back.

use std::io;
use std::path::Path;

use data_encoding::HEXLOWER;
use futures_util::TryStreamExt as _;
use object_store::{MultipartUpload, ObjectStoreExt as _};
use sha2::{Digest as _, Sha256};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::time::timeout;

use super::target::{Kind, LONG, PIECE, SHORT, at, no_bucket};
use super::{BackupError, Name, Step, Target, Tell, manifest};
use crate::objects::ObjectError;

/// Bytes of a part of what is sent to a bucket: of 10,000 parts, 160 GiB.
const PART: usize = 16 << 20;
/// What is done, for the messages.
const SENDING: &str = "sending a file of the backup";

/// Where a file of a backup goes that is read and checked.
pub(super) enum Sink<'a> {
    Nowhere,
    File(&'a Path),
    Memory(&'a mut Vec<u8>),
}

impl Target {
    /// Sends a file of this machine, and answers what it is. One that was made in its place stays there.
    pub(super) async fn send(
        &self,
        name: &Name,
        file: &str,
        from: &Path,
        tell: &Tell,
    ) -> Result<manifest::File, BackupError> {
        let mut parts = match &self.kind {
            Kind::Folder(_) => None,
            Kind::Bucket(client) => {
                let path = at(client, &format!("{name}/{file}"));
                let begun = self.ask(SENDING, SHORT, client.store.put_multipart(&path)).await?;
                Some(begun.ok_or_else(|| self.failed(no_bucket()))?)
            }
        };
        let sent = self.send_parts(file, from, parts.as_mut(), tell).await;
        let Some(mut parts) = parts else { return sent };
        let sent = match sent {
            Ok(sent) => self.ask(SENDING, LONG, parts.complete()).await.map(|_| sent),
            Err(error) => Err(error),
        };
        if sent.is_err() {
            // What cannot be given up now is left to the bucket's own rules.
            let _ = timeout(SHORT, parts.abort()).await;
        }
        sent
    }

    async fn send_parts(
        &self,
        file: &str,
        from: &Path,
        mut parts: Option<&mut Box<dyn MultipartUpload>>,
        tell: &Tell,
    ) -> Result<manifest::File, BackupError> {
        let reading = || BackupError::file("reading", from);
        let mut source = tokio::fs::File::open(from).await.map_err(reading())?;
        let of = source.metadata().await.map_err(reading())?.len();
        let most = if parts.is_some() { PART } else { PIECE };
        let (mut hash, mut done) = (Sha256::new(), 0);
        loop {
            let mut piece = Vec::new();
            let read = (&mut source).take(most as u64).read_to_end(&mut piece).await;
            if read.map_err(reading())? == 0 {
                break;
            }
            hash.update(&piece);
            done += piece.len() as u64;
            if let Some(parts) = &mut parts {
                let sent = self.ask(SENDING, LONG, parts.put_part(piece.into())).await?;
                sent.ok_or_else(|| self.failed(no_bucket()))?;
            }
            tell.tell(Step::Transfer { done, of: of.max(done) });
        }
        Ok(manifest::File { name: file.to_owned(), bytes: done, sha256: HEXLOWER.encode(&hash.finalize()) })
    }

    /// Reads a file of a backup, and checks that it is what the manifest says.
    pub(super) async fn fetch(
        &self,
        name: &Name,
        file: &manifest::File,
        mut sink: Sink<'_>,
        tell: &Tell,
    ) -> Result<(), BackupError> {
        let damaged = |what: String| BackupError::Damaged { name: name.to_string(), what };
        let Some(mut pieces) = self.open_file(&format!("{name}/{}", file.name)).await? else {
            return Err(damaged(format!("{} is missing", file.name)));
        };
        let mut into = match sink {
            Sink::File(to) => {
                let mut options = tokio::fs::File::options();
                let made = options.write(true).create(true).truncate(true).mode(0o600).open(to).await;
                Some((made.map_err(BackupError::file("writing", to))?, to))
            }
            Sink::Nowhere | Sink::Memory(_) => None,
        };
        let (mut hash, mut bytes) = (Sha256::new(), 0);
        let failed = |error| self.failed(ObjectError::io("reading the backup")(error));
        while let Some(piece) = within_time(pieces.try_next()).await.map_err(failed)? {
            hash.update(&piece);
            bytes += piece.len() as u64;
            if bytes > file.bytes {
                break;
            }
            if let Some((into, to)) = &mut into {
                into.write_all(&piece).await.map_err(BackupError::file("writing", to))?;
            } else if let Sink::Memory(text) = &mut sink {
                text.extend_from_slice(&piece);
            }
            tell.tell(Step::Transfer { done: bytes, of: file.bytes });
        }
        if let Some((mut into, to)) = into {
            into.flush().await.map_err(BackupError::file("writing", to))?;
            into.sync_all().await.map_err(BackupError::file("writing", to))?;
        }
        if bytes != file.bytes {
            let longer = if bytes > file.bytes { "more than " } else { "" };
            let found = bytes.min(file.bytes);
            return Err(damaged(format!(
                "{} has {longer}{found} bytes instead of {}",
                file.name, file.bytes
            )));
        }
        if HEXLOWER.encode(&hash.finalize()) != file.sha256 {
            return Err(damaged(format!("{} is not what was written: its hash is another one", file.name)));
        }
        Ok(())
    }
}

/// What comes of a read of a target, which may say nothing at all.
pub(super) async fn within_time<T>(read: impl Future<Output = io::Result<T>>) -> io::Result<T> {
    let silent =
        || io::Error::new(io::ErrorKind::TimedOut, format!("it says nothing for {} s", SHORT.as_secs()));
    timeout(SHORT, read).await.unwrap_or_else(|_| Err(silent()))
}
