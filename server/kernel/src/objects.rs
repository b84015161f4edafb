//! The object store: one file per object, named by its SHA-256. The same bytes are one file.

use std::collections::HashMap;
use std::io;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError, Weak};

use data_encoding::HEXLOWER;
use sha2::{Digest, Sha256};
use tokio::fs::File;
use tokio::io::{AsyncWriteExt as _, BufWriter};
use tokio::sync::OwnedMutexGuard;

use crate::files;
pub use crate::places::NoPlace;
use crate::places::{Place, Places};

/// Uploads in progress carry this prefix; what a crash leaves of them is removed at start.
const UPLOAD_PREFIX: &str = "upload-";
/// Bytes gathered before they go to disk.
const BUFFER: usize = 256 * 1024;
/// Locks remembered before those that nobody holds are forgotten.
const LOCKS_KEPT: usize = 1024;

/// What can go wrong with an object.
#[derive(Debug, thiserror::Error)]
pub enum ObjectError {
    /// The disk of the objects folder is full; nothing was kept.
    #[error("the disk of the objects folder is full")]
    Full(#[source] io::Error),
    /// Too many uploads are under way; nothing was kept.
    #[error("{0}")]
    NoPlace(NoPlace),
    /// The process, or the machine, has as many files open as it may have; nothing was kept.
    #[error("the server has as many files open as it may have")]
    NoFiles(#[source] io::Error),
    /// The file system refused.
    #[error("{doing} failed")]
    Io {
        /// What was tried.
        doing: &'static str,
        /// Why it failed.
        #[source]
        source: io::Error,
    },
    /// The object is longer than it may be.
    #[error("the object is longer than {limit} bytes")]
    TooLong {
        /// Most bytes.
        limit: u64,
    },
    /// No object has this hash.
    #[error("the object {sha256} is missing")]
    Missing {
        /// Its hash.
        sha256: String,
    },
    /// The object is not as long as it was when it was stored.
    #[error("the object {sha256} has {found} bytes instead of {expected}")]
    Damaged {
        /// Its hash.
        sha256: String,
        /// Its bytes now.
        found: u64,
        /// Its bytes when it was stored.
        expected: u64,
    },
}

impl ObjectError {
    fn io(doing: &'static str) -> impl Fn(io::Error) -> Self {
        move |source| match source.kind() {
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => Self::Full(source),
            _ if files::used_up(&source) => Self::NoFiles(source),
            _ => Self::Io { doing, source },
        }
    }
}

/// The folder of the objects.
#[derive(Debug)]
pub struct Objects {
    dir: PathBuf,
    /// One lock per hash: held from keeping an object until the row that names it is committed, and while the object is removed because
    /// no row does. Uploads of other bytes do not wait for it.
    locks: Mutex<HashMap<String, Weak<tokio::sync::Mutex<()>>>>,
    places: Places,
}

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
    path: PathBuf,
    /// Its hash, in hexadecimal digits.
    pub sha256: String,
    /// Its length.
    pub bytes: u64,
    _place: Option<Place>,
}

/// An object that is kept. As long as this lives nobody removes the object: hold it until the row that names it is committed.
#[derive(Debug)]
pub struct Kept {
    /// Whether the object was not there before.
    pub fresh: bool,
    _lock: OwnedMutexGuard<()>,
}

impl Objects {
    /// Opens the folder, makes it when there is none, and removes what interrupted uploads left.
    pub fn open(dir: &Path) -> io::Result<Self> {
        std::fs::create_dir_all(dir)?;
        std::fs::set_permissions(dir, std::fs::Permissions::from_mode(0o700))?;
        for entry in std::fs::read_dir(dir)? {
            let entry = entry?;
            if entry.file_name().to_string_lossy().starts_with(UPLOAD_PREFIX) {
                std::fs::remove_file(entry.path())?;
            }
        }
        Ok(Self { dir: dir.to_owned(), locks: Mutex::default(), places: Places::of_process() })
    }

    /// Begins an upload of at most `limit` bytes, one of those that `owner` has under way.
    pub async fn begin(&self, owner: i64, limit: u64) -> Result<Upload, ObjectError> {
        let doing = "storing an upload";
        let place = Some(self.places.take(owner).map_err(ObjectError::NoPlace)?);
        let mut name = [0_u8; 16];
        getrandom::fill(&mut name).map_err(|error| ObjectError::Io { doing, source: error.into() })?;
        let path = self.dir.join(format!("{UPLOAD_PREFIX}{}", HEXLOWER.encode(&name)));
        let file = File::options()
            .write(true)
            .read(true)
            .create_new(true)
            .open(&path)
            .await
            .map_err(ObjectError::io(doing))?;
        let file = BufWriter::with_capacity(BUFFER, file);
        Ok(Upload { path, file, hash: Sha256::new(), bytes: 0, limit, place })
    }

    /// Opens the object of that hash, which had `bytes` bytes when it was stored.
    pub async fn read(&self, sha256: &str, bytes: u64) -> Result<File, ObjectError> {
        let doing = "reading an object";
        let file = match File::open(self.dir.join(sha256)).await {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                return Err(ObjectError::Missing { sha256: sha256.to_owned() });
            }
            opened => opened.map_err(ObjectError::io(doing))?,
        };
        let found = file.metadata().await.map_err(ObjectError::io(doing))?.len();
        if found != bytes {
            return Err(ObjectError::Damaged { sha256: sha256.to_owned(), found, expected: bytes });
        }
        Ok(file)
    }

    /// Keeps an object under its hash, durably.
    pub async fn keep(&self, received: Received) -> Result<Kept, ObjectError> {
        let doing = "keeping an object";
        let lock = self.lock(&received.sha256).await;
        let (dir, path) = (self.dir.clone(), self.dir.join(&received.sha256));
        let kept = tokio::task::spawn_blocking(move || {
            let fresh = !path.exists();
            // Onto an equal file this changes nothing, and saves telling a whole file from one cut by a crash.
            std::fs::rename(&received.path, &path)?;
            std::fs::File::open(&dir)?.sync_all()?;
            Ok::<_, io::Error>(fresh)
        });
        let fresh = kept.await.map_err(io::Error::other).flatten().map_err(ObjectError::io(doing))?;
        Ok(Kept { fresh, _lock: lock })
    }

    /// The hashes of all objects.
    pub async fn list(&self) -> Result<Vec<String>, ObjectError> {
        let dir = self.dir.clone();
        let names = tokio::task::spawn_blocking(move || {
            std::fs::read_dir(dir)?
                .map(|entry| entry.map(|entry| entry.file_name().to_string_lossy().into_owned()))
                .filter(|name| name.as_deref().map_or(true, is_hash))
                .collect::<io::Result<Vec<_>>>()
        });
        names.await.map_err(io::Error::other).flatten().map_err(ObjectError::io("listing the objects"))
    }

    /// Removes an object unless `used` says that a row names it. Nobody keeps the same bytes meanwhile. True when it was removed.
    pub async fn remove_unless<E: From<ObjectError>>(
        &self,
        sha256: &str,
        used: impl Future<Output = Result<bool, E>>,
    ) -> Result<bool, E> {
        let _lock = self.lock(sha256).await;
        if used.await? {
            return Ok(false);
        }
        match tokio::fs::remove_file(self.dir.join(sha256)).await {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                Err(ObjectError::io("removing an object")(error).into())
            }
            _ => Ok(true),
        }
    }

    async fn lock(&self, sha256: &str) -> OwnedMutexGuard<()> {
        let lock = {
            let mut locks = self.locks.lock().unwrap_or_else(PoisonError::into_inner);
            if let Some(lock) = locks.get(sha256).and_then(Weak::upgrade) {
                lock
            } else {
                if locks.len() >= LOCKS_KEPT {
                    locks.retain(|_, lock| lock.strong_count() > 0);
                }
                let lock = Arc::default();
                locks.insert(sha256.to_owned(), Arc::downgrade(&lock));
                lock
            }
        };
        lock.lock_owned().await
    }
}

impl Upload {
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

/// Whether a file's name is the hash of an object.
fn is_hash(name: &str) -> bool {
    name.len() == 64 && name.bytes().all(|byte| byte.is_ascii_hexdigit())
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn received(objects: &Objects, bytes: &[u8]) -> Received {
        let mut upload = objects.begin(1, 100).await.unwrap();
        upload.write(bytes).await.unwrap();
        upload.finish().await.unwrap()
    }

    #[tokio::test]
    async fn an_upload_does_not_wait_for_one_of_other_bytes_and_does_for_one_of_the_same() {
        let folder = tempfile::tempdir().unwrap();
        let objects = Arc::new(Objects::open(folder.path()).unwrap());
        let first = objects.keep(received(&objects, b"one").await).await.unwrap();
        let other = objects.keep(received(&objects, b"two").await).await.unwrap();
        assert!(first.fresh && other.fresh);
        let (same, keeper) = (received(&objects, b"one").await, Arc::clone(&objects));
        let mut second = Box::pin(async move { keeper.keep(same).await });
        assert!(futures_poll(&mut second).await.is_none(), "it waits for the first");
        drop(first);
        assert!(!second.await.unwrap().fresh);
    }

    /// The output of a future that is ready within a moment.
    async fn futures_poll<F: Future + Unpin>(future: &mut F) -> Option<F::Output> {
        tokio::time::timeout(std::time::Duration::from_millis(50), future).await.ok()
    }

    #[tokio::test]
    async fn an_object_goes_only_when_no_row_names_it() {
        let folder = tempfile::tempdir().unwrap();
        let objects = Objects::open(folder.path()).unwrap();
        let received = received(&objects, b"one").await;
        let sha256 = received.sha256.clone();
        drop(objects.keep(received).await.unwrap());
        for (used, left) in [(true, 1), (false, 0)] {
            let removed = objects.remove_unless(&sha256, async { Ok::<_, ObjectError>(used) }).await.unwrap();
            assert_eq!((removed, objects.list().await.unwrap().len()), (!used, left));
        }
        assert!(matches!(objects.read(&sha256, 3).await, Err(ObjectError::Missing { .. })));
    }

    #[tokio::test]
    async fn what_is_too_long_or_cut_short_is_told_and_leaves_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let objects = Objects::open(folder.path()).unwrap();
        let mut upload = objects.begin(1, 2).await.unwrap();
        assert!(matches!(upload.write(b"123").await, Err(ObjectError::TooLong { limit: 2 })));
        drop(upload);
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0);
        let received = received(&objects, b"12").await;
        let sha256 = received.sha256.clone();
        drop(objects.keep(received).await.unwrap());
        assert!(matches!(
            objects.read(&sha256, 3).await,
            Err(ObjectError::Damaged { found: 2, expected: 3, .. })
        ));
    }
}
