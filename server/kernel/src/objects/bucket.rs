//! Objects in a bucket of S3, Google Cloud Storage, Azure or what speaks like one of them.
//!
//! What is long goes in parts. The id of such an upload stands in a file of the objects folder before its first part is sent: what a crash
//! leaves of it is known to the next start, which gives it up, so that no bucket keeps parts of nothing.

use std::io;
use std::ops::Range;
use std::path::{Path as FilePath, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, SystemTime};

use bytes::Bytes;
use data_encoding::HEXLOWER;
use futures_util::stream::{BoxStream, try_unfold};
use futures_util::{StreamExt as _, TryStreamExt as _};
use object_store::multipart::{MultipartStore, PartId};
use object_store::path::Path;
use object_store::{GetOptions, GetRange, ObjectMeta, ObjectStore, ObjectStoreExt as _, PutMode, PutPayload};
use tokio::io::AsyncReadExt as _;
use tokio::sync::Semaphore;
use tokio::time::timeout;

use super::content::{Content, Pieces};
use super::error::is_no_bucket;
use super::location::Client;
use super::standing::Standing;
use super::{Found, ObjectError, is_hash};

/// Bytes of a part, and of what goes in one piece. The services take no smaller parts than 5 MiB.
const PART_BYTES: usize = 8 << 20;
/// Objects on their way to the bucket at a time: each holds a part in memory.
const AT_ONCE: usize = 4;
/// How long a short request may take, with its retries.
const SHORT: Duration = Duration::from_secs(30);
/// How long a part may take on its way, with its retries: at a quarter of a megabyte a second.
const LONG: Duration = Duration::from_secs(60);
/// Files that name uploads in parts.
const PARTS_PREFIX: &str = "parts-";
/// The object that says whose bucket it is.
const OWNER: &str = "minitower-owner";
/// Most bytes of it.
const OWNER_BYTES: u64 = 256;

/// A bucket.
pub(super) struct Bucket {
    store: Arc<dyn ObjectStore>,
    parts: Arc<dyn MultipartStore>,
    prefix: Path,
    /// The objects folder.
    dir: PathBuf,
    places: Semaphore,
    /// Files that name uploads in parts which nobody completes any more.
    left: Mutex<Vec<PathBuf>>,
    pub(super) standing: Standing,
}

impl std::fmt::Debug for Bucket {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Bucket").field("prefix", &self.prefix).finish_non_exhaustive()
    }
}

impl Bucket {
    pub(super) fn open(client: Client, dir: &FilePath) -> io::Result<Self> {
        let mut left = Vec::new();
        for entry in std::fs::read_dir(dir)? {
            let entry = entry?;
            if entry.file_name().to_string_lossy().starts_with(PARTS_PREFIX) {
                left.push(entry.path());
            }
        }
        let Client { store, parts, prefix } = client;
        Ok(Self {
            store,
            parts,
            prefix,
            dir: dir.to_owned(),
            places: Semaphore::new(AT_ONCE),
            left: Mutex::new(left),
            standing: Standing::default(),
        })
    }

    fn at(&self, name: &str) -> Path {
        self.prefix.clone().join(name)
    }

    /// Asks the store something, within a time, and notes how it stands.
    async fn ask<T>(
        &self,
        doing: &'static str,
        within: Duration,
        asked: impl Future<Output = object_store::Result<T>>,
    ) -> Result<T, Asked> {
        let answer = answer(doing, within, asked).await;
        match &answer {
            Err(Asked::Failed(error)) => self.standing.failed(error),
            Ok(_) | Err(Asked::Missing | Asked::Exists) => self.standing.answered(),
        }
        answer
    }

    /// The length of an object; none: it is missing.
    pub(super) async fn length(&self, sha256: &str) -> Result<Option<u64>, ObjectError> {
        let path = self.at(sha256);
        match self.ask("reading an object", SHORT, self.store.head(&path)).await {
            Ok(meta) => Ok(Some(meta.size)),
            Err(Asked::Missing) => Ok(None),
            Err(other) => Err(other.into()),
        }
    }

    pub(super) async fn read(self: &Arc<Self>, sha256: &str, bytes: u64) -> Result<Content, ObjectError> {
        let sha256 = sha256.to_owned();
        match self.length(&sha256).await? {
            None => Err(ObjectError::Missing { sha256 }),
            Some(found) if found != bytes => Err(ObjectError::Damaged { sha256, found, expected: bytes }),
            Some(_) => Ok(Content::of_bucket(Arc::clone(self), sha256, bytes)),
        }
    }

    pub(super) async fn get(&self, sha256: &str, part: Range<u64>) -> Result<Pieces, ObjectError> {
        let options = GetOptions { range: Some(GetRange::Bounded(part)), ..GetOptions::default() };
        let path = self.at(sha256);
        match self.ask("reading an object", SHORT, self.store.get_opts(&path, options)).await {
            Ok(got) => Ok(within_time(got.into_stream())),
            Err(Asked::Missing) => Err(ObjectError::Missing { sha256: sha256.to_owned() }),
            Err(other) => Err(other.into()),
        }
    }

    /// Puts a file of so many bytes into the bucket, unless the object is there. Answers whether it was not.
    pub(super) async fn keep(&self, file: &FilePath, sha256: &str, bytes: u64) -> Result<bool, ObjectError> {
        let doing = "keeping an object";
        if self.length(sha256).await? == Some(bytes) {
            return Ok(false);
        }
        let _place = self.places.acquire().await;
        let mut file = tokio::fs::File::open(file).await.map_err(ObjectError::io(doing))?;
        let path = self.at(sha256);
        if bytes <= PART_BYTES as u64 {
            let piece = read_part(&mut file).await.map_err(ObjectError::io(doing))?;
            let put = async { self.store.put(&path, PutPayload::from(piece)).await.map(drop) };
            return Ok(self.ask(doing, LONG, put).await.map(|()| true)?);
        }
        let id = self.ask(doing, SHORT, self.parts.create_multipart(&path)).await?;
        let note = self.note(sha256, &id).await.map_err(ObjectError::io(doing));
        let sent = match &note {
            Ok(_) => self.send(&mut file, &path, &id).await,
            Err(_) => Ok(()),
        };
        match (note, sent) {
            (Ok(note), Ok(())) => {
                forget_note(&note);
                Ok(true)
            }
            (Ok(note), Err(error)) => {
                self.give_up(note, &path, &id).await;
                Err(error)
            }
            (Err(error), _) => {
                let _ = answer(doing, SHORT, self.parts.abort_multipart(&path, &id)).await;
                Err(error)
            }
        }
    }

    async fn send(&self, file: &mut tokio::fs::File, path: &Path, id: &String) -> Result<(), ObjectError> {
        let doing = "keeping an object";
        let mut sent: Vec<PartId> = Vec::new();
        loop {
            let piece = read_part(file).await.map_err(ObjectError::io(doing))?;
            if piece.is_empty() {
                break;
            }
            let put = self.parts.put_part(path, id, sent.len(), PutPayload::from(piece));
            sent.push(self.ask(doing, LONG, put).await?);
        }
        self.ask(doing, LONG, self.parts.complete_multipart(path, id, sent)).await?;
        Ok(())
    }

    /// Writes down that an upload in parts has begun.
    async fn note(&self, sha256: &str, id: &str) -> io::Result<PathBuf> {
        let mut unique = [0_u8; 8];
        getrandom::fill(&mut unique).map_err(io::Error::other)?;
        let unique = HEXLOWER.encode(&unique);
        let note = self.dir.join(format!("{PARTS_PREFIX}{sha256}-{unique}"));
        let (path, text) = (note.clone(), format!("{sha256}\n{id}"));
        let written = tokio::task::spawn_blocking(move || {
            use std::io::Write as _;
            let mut file = std::fs::File::create(&path)?;
            file.write_all(text.as_bytes())?;
            file.sync_all()
        });
        written.await.map_err(io::Error::other).flatten()?;
        Ok(note)
    }

    async fn give_up(&self, note: PathBuf, path: &Path, id: &String) {
        // That it takes nothing back says nothing of whether it takes something.
        match answer("giving up an upload", SHORT, self.parts.abort_multipart(path, id)).await {
            Ok(()) | Err(Asked::Missing) => forget_note(&note),
            Err(_) => self.left.lock().unwrap_or_else(PoisonError::into_inner).push(note),
        }
    }

    /// Gives up what an earlier process, or a bucket that was away, left half sent.
    pub(super) async fn give_up_left(&self) {
        let left = std::mem::take(&mut *self.left.lock().unwrap_or_else(PoisonError::into_inner));
        for note in left {
            let text = tokio::fs::read_to_string(&note).await.unwrap_or_default();
            let named = text.split_once('\n').filter(|(sha256, id)| is_hash(sha256) && !id.is_empty());
            match named {
                Some((sha256, id)) => self.give_up(note.clone(), &self.at(sha256), &id.to_owned()).await,
                // A crash came while it was written: no part was sent.
                None => forget_note(&note),
            }
        }
    }

    pub(super) async fn remove(&self, sha256: &str) -> Result<(), ObjectError> {
        let path = self.at(sha256);
        match self.ask("removing an object", SHORT, self.store.delete(&path)).await {
            Ok(()) | Err(Asked::Missing) => Ok(()),
            Err(other) => Err(other.into()),
        }
    }

    /// Which of these, in their order, are missing.
    pub(super) async fn lacks(&self, hashes: Vec<String>) -> Result<Vec<String>, ObjectError> {
        let mut missing = Vec::new();
        for sha256 in hashes {
            if self.length(&sha256).await?.is_none() {
                missing.push(sha256);
            }
        }
        Ok(missing)
    }

    pub(super) fn list(&self) -> BoxStream<'static, object_store::Result<ObjectMeta>> {
        self.store.list(Some(&self.prefix)).fuse().boxed()
    }

    /// The next objects of the list, in the bucket's order.
    pub(super) async fn next(
        &self,
        list: &mut BoxStream<'static, object_store::Result<ObjectMeta>>,
        most: usize,
    ) -> Result<Vec<Found>, ObjectError> {
        let mut found = Vec::new();
        while found.len() < most {
            let next = async { list.try_next().await };
            let Some(meta) = self.ask("listing the objects", SHORT, next).await? else { break };
            let Some(name) = meta.location.filename().filter(|name| is_hash(name)) else { continue };
            // What lies deeper is somebody else's.
            if meta.location == self.at(name) {
                let (sha256, bytes) = (name.to_owned(), meta.size);
                found.push(Found { sha256, bytes, modified: SystemTime::from(meta.last_modified) });
            }
        }
        Ok(found)
    }

    /// Whose bucket it is; none: nobody's yet. Asking tells how the store stands, too.
    pub(super) async fn owner(&self) -> Result<Option<String>, ObjectError> {
        let path = self.at(OWNER);
        let read = async {
            let got = self.store.get(&path).await?;
            if got.meta.size > OWNER_BYTES { Ok(Bytes::new()) } else { got.bytes().await }
        };
        match self.ask("asking whose objects these are", SHORT, read).await {
            Ok(text) => Ok(Some(String::from_utf8_lossy(&text).trim().to_owned())),
            Err(Asked::Missing) => Ok(None),
            Err(other) => Err(other.into()),
        }
    }

    /// Makes it somebody's. Where another was faster, that one stays its owner.
    pub(super) async fn own(&self, owner: &str) -> Result<(), ObjectError> {
        let (path, text) = (self.at(OWNER), PutPayload::from(owner.to_owned()));
        let put = async { self.store.put_opts(&path, text, PutMode::Create.into()).await.map(drop) };
        match self.ask("saying whose objects these are", SHORT, put).await {
            Ok(()) | Err(Asked::Exists) => Ok(()),
            // Not every store knows the condition; whose it is, is looked up again in any case.
            Err(Asked::Failed(_) | Asked::Missing) => {
                let text = PutPayload::from(owner.to_owned());
                let put = async { self.store.put(&path, text).await.map(drop) };
                Ok(self.ask("saying whose objects these are", SHORT, put).await?)
            }
        }
    }
}

/// What came of a question.
enum Asked {
    Missing,
    Exists,
    Failed(ObjectError),
}

impl From<Asked> for ObjectError {
    fn from(asked: Asked) -> Self {
        match asked {
            Asked::Failed(error) => error,
            Asked::Missing => Self::Bucket {
                doing: "using the object store",
                reason: "it has no such bucket or upload".to_owned(),
            },
            Asked::Exists => Self::Bucket {
                doing: "using the object store",
                reason: "something else was written in the same place".to_owned(),
            },
        }
    }
}

/// Ends with an error what says nothing for too long.
fn within_time(pieces: BoxStream<'static, object_store::Result<Bytes>>) -> Pieces {
    let next = |mut pieces: BoxStream<'static, object_store::Result<Bytes>>| async move {
        match timeout(SHORT, pieces.try_next()).await {
            Ok(piece) => Ok(piece.map_err(io::Error::other)?.map(|piece| (piece, pieces))),
            Err(_) => Err(io::Error::new(io::ErrorKind::TimedOut, "the object store does not go on")),
        }
    };
    try_unfold(pieces, next).boxed()
}

/// What comes of a question within a time.
async fn answer<T>(
    doing: &'static str,
    within: Duration,
    asked: impl Future<Output = object_store::Result<T>>,
) -> Result<T, Asked> {
    use object_store::Error;
    match timeout(within, asked).await {
        Ok(Ok(answer)) => Ok(answer),
        Ok(Err(error @ Error::NotFound { .. })) if !is_no_bucket(&error) => Err(Asked::Missing),
        Ok(Err(Error::AlreadyExists { .. } | Error::Precondition { .. })) => Err(Asked::Exists),
        Ok(Err(error)) => Err(Asked::Failed(ObjectError::bucket(doing)(error))),
        Err(_) => {
            let reason = format!("the object store does not answer within {} s", within.as_secs());
            Err(Asked::Failed(ObjectError::Bucket { doing, reason }))
        }
    }
}

/// The next part of a file; the last one is shorter or empty.
async fn read_part(file: &mut tokio::fs::File) -> io::Result<Vec<u8>> {
    let mut piece = Vec::new();
    file.take(PART_BYTES as u64).read_to_end(&mut piece).await?;
    Ok(piece)
}

fn forget_note(note: &FilePath) {
    if let Err(error) = std::fs::remove_file(note)
        && error.kind() != io::ErrorKind::NotFound
    {
        tracing::warn!(%error, path = %note.display(), "cannot remove the note of an upload");
    }
}
