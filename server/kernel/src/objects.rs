//! The object store: one object per content, named by its SHA-256. The same bytes are one object.
//!
//! Objects are files of a folder, or lie in a bucket. Uploads come to the folder first in any case, where they are hashed and looked at.

mod bucket;
mod content;
mod copy;
mod error;
mod folder;
mod location;
mod standing;
#[cfg(test)]
mod tests;
mod upload;

use std::collections::HashMap;
use std::io;
use std::ops::Range;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::SystemTime;

use futures_util::TryStreamExt as _;
use futures_util::stream::BoxStream;
use tokio::sync::OwnedMutexGuard;

pub use crate::places::NoPlace;
use crate::places::Places;
use bucket::Bucket;
pub use content::Content;
pub use copy::Copied;
pub(crate) use copy::One;
pub use error::ObjectError;
pub(crate) use error::is_no_bucket;
use folder::Folder;
pub(crate) use location::Client;
pub use location::{ClientError, Location, LocationError};
pub use upload::{Received, Upload};

/// Locks remembered before those that nobody holds are forgotten.
const LOCKS_KEPT: usize = 1024;

/// The object store cannot be opened.
#[derive(Debug, thiserror::Error)]
pub enum CannotOpen {
    /// The folder cannot be used.
    #[error(transparent)]
    Folder(#[from] io::Error),
    /// The settings of the bucket make no sense.
    #[error(transparent)]
    Client(#[from] ClientError),
}

/// Whose a bucket is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Claim {
    /// It is this control plane's.
    Ours,
    /// It is another one's, which would remove what it does not know.
    Foreign,
}

/// An object that was found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Found {
    /// Its hash.
    pub sha256: String,
    /// Its length.
    pub bytes: u64,
    /// When it was stored.
    pub modified: SystemTime,
}

/// The objects.
#[derive(Debug)]
pub struct Objects {
    folder: Folder,
    bucket: Option<Arc<Bucket>>,
    /// Whose the bucket is; none: it did not answer yet.
    whose: Mutex<Option<Claim>>,
    /// One lock per hash: held from keeping an object until the row that names it is committed, and while the object is removed because
    /// no row does. Uploads of other bytes do not wait for it.
    locks: Mutex<HashMap<String, Weak<tokio::sync::Mutex<()>>>>,
    places: Places,
}

/// An object that is kept. As long as this lives nobody removes the object: hold it until the row that names it is committed.
#[derive(Debug)]
pub struct Kept {
    /// Whether the object was not there before.
    pub fresh: bool,
    _lock: OwnedMutexGuard<()>,
}

/// A walk over all objects.
pub struct Walk(Way);

enum Way {
    Folder(Option<std::fs::ReadDir>),
    Bucket(Arc<Bucket>, BoxStream<'static, object_store::Result<object_store::ObjectMeta>>),
}

impl std::fmt::Debug for Walk {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Walk").finish_non_exhaustive()
    }
}

impl Walk {
    /// Whether the objects come in the order of their hashes.
    pub fn is_ordered(&self) -> bool {
        matches!(self.0, Way::Bucket(..))
    }

    /// So many more objects; none: that were all.
    pub async fn next(&mut self, most: usize) -> Result<Vec<Found>, ObjectError> {
        match &mut self.0 {
            Way::Folder(entries) => {
                let Some(taken) = entries.take() else { return Ok(Vec::new()) };
                let (found, rest) = folder::next(taken, most).await?;
                *entries = (!found.is_empty()).then_some(rest);
                Ok(found)
            }
            Way::Bucket(bucket, list) => bucket.next(list, most).await,
        }
    }
}

impl Objects {
    /// Opens the folder, makes it when there is none, and removes what interrupted uploads left. With `bucket`, the objects lie there.
    /// Nothing is asked of it yet: it may be away.
    pub fn open(dir: &Path, bucket: Option<&Location>) -> Result<Self, CannotOpen> {
        let folder = Folder::open(dir)?;
        let bucket = match bucket {
            Some(location) => Some(Bucket::open(location.client()?, dir)?),
            None => None,
        };
        Ok(Self::over(folder, bucket))
    }

    /// The same beside a server that may have it open: nothing of it is removed.
    pub fn open_beside(dir: &Path, bucket: Option<&Location>) -> Result<Self, CannotOpen> {
        use std::os::unix::fs::DirBuilderExt as _;
        std::fs::DirBuilder::new().recursive(true).mode(0o700).create(dir)?;
        let bucket = match bucket {
            Some(location) => Some(Bucket::open(location.client()?, dir)?),
            None => None,
        };
        Ok(Self::over(Folder { dir: dir.to_owned() }, bucket))
    }

    /// Those in a folder, which may not be there yet.
    pub(crate) fn of_folder(dir: &Path) -> Self {
        Self::over(Folder { dir: dir.to_owned() }, None)
    }

    /// The length of an object; none: it is missing.
    pub(crate) async fn length(&self, sha256: &str) -> Result<Option<u64>, ObjectError> {
        match &self.bucket {
            None => self.folder.length(sha256).await,
            Some(bucket) => bucket.length(sha256).await,
        }
    }

    fn over(folder: Folder, bucket: Option<Bucket>) -> Self {
        Self {
            folder,
            bucket: bucket.map(Arc::new),
            whose: Mutex::default(),
            locks: Mutex::default(),
            places: Places::of_process(),
        }
    }

    /// Whether the objects lie in a bucket, which may be away.
    pub fn is_remote(&self) -> bool {
        self.bucket.is_some()
    }

    /// Why nothing can be stored in the bucket, if that is so.
    pub fn trouble(&self) -> Option<Arc<str>> {
        let trouble = self.bucket.as_ref()?.standing.trouble();
        match *self.whose.lock().unwrap_or_else(PoisonError::into_inner) {
            Some(Claim::Ours) => trouble,
            Some(Claim::Foreign) => Some(
                "the bucket is another control plane's: set another prefix in MINITOWER_OBJECTS_URL".into(),
            ),
            None => trouble.or_else(|| Some("the object store has not answered yet".into())),
        }
    }

    /// Whether it is time to ask the bucket how it stands, with [`Self::claim`].
    pub fn is_to_be_asked(&self) -> bool {
        let unknown = self.whose.lock().unwrap_or_else(PoisonError::into_inner).is_none();
        self.bucket.as_ref().is_some_and(|bucket| bucket.standing.is_due() || unknown)
    }

    /// Asks whose the bucket is, and makes it this control plane's where it is nobody's. A folder is always its own. The answer also tells
    /// how the bucket stands.
    pub async fn claim(&self, owner: &str) -> Result<Claim, ObjectError> {
        let Some(bucket) = &self.bucket else { return Ok(Claim::Ours) };
        let mut found = bucket.owner().await?;
        if found.is_none() {
            bucket.own(owner).await?;
            found = bucket.owner().await?;
        }
        let whose = if found.as_deref() == Some(owner) { Claim::Ours } else { Claim::Foreign };
        *self.whose.lock().unwrap_or_else(PoisonError::into_inner) = Some(whose);
        Ok(whose)
    }

    /// Begins an upload of at most `limit` bytes, one of those that `owner` has under way. While the bucket is known to be in trouble,
    /// nothing is begun.
    pub async fn begin(&self, owner: i64, limit: u64) -> Result<Upload, ObjectError> {
        if let Some(reason) = self.trouble() {
            return Err(ObjectError::Bucket { doing: "storing an upload", reason: reason.to_string() });
        }
        let place = Some(self.places.take(owner).map_err(ObjectError::NoPlace)?);
        Upload::begin(&self.folder.dir, limit, place).await
    }

    /// Begins an upload of this process's own.
    pub async fn receive(&self, limit: u64) -> Result<Upload, ObjectError> {
        Upload::begin(&self.folder.dir, limit, None).await
    }

    /// Finds the object of that hash, which had `bytes` bytes when it was stored.
    pub async fn read(&self, sha256: &str, bytes: u64) -> Result<Content, ObjectError> {
        match &self.bucket {
            None => self.folder.read(sha256, bytes).await,
            Some(bucket) => bucket.read(sha256, bytes).await,
        }
    }

    /// A part of an object, which lies within it; it is held in memory.
    pub async fn read_part(&self, sha256: &str, part: Range<u64>) -> Result<Vec<u8>, ObjectError> {
        let pieces = match &self.bucket {
            None => self.folder.part(sha256, part.clone()).await?,
            Some(bucket) => bucket.get(sha256, part.clone()).await?,
        };
        let reading = |source| match &self.bucket {
            None => ObjectError::io("reading an object")(source),
            Some(_) => {
                ObjectError::Bucket { doing: "reading an object", reason: "the connection broke".to_owned() }
            }
        };
        let content: Vec<u8> = pieces
            .try_fold(Vec::new(), async |mut all, piece| {
                all.extend_from_slice(&piece);
                Ok(all)
            })
            .await
            .map_err(reading)?;
        let (found, expected) = (content.len() as u64, part.end - part.start);
        if found == expected {
            Ok(content)
        } else {
            Err(ObjectError::Damaged { sha256: sha256.to_owned(), found, expected })
        }
    }

    /// Keeps an object under its hash, durably.
    pub async fn keep(&self, received: Received) -> Result<Kept, ObjectError> {
        let lock = self.lock(&received.sha256).await;
        let Some(bucket) = &self.bucket else {
            let fresh = self.folder.keep(received).await?;
            return Ok(Kept { fresh, _lock: lock });
        };
        let bucket = Arc::clone(bucket);
        // In a task of its own: a caller who goes away leaves nothing half sent.
        let kept = tokio::spawn(async move {
            let fresh = bucket.keep(&received.path, &received.sha256, received.bytes).await?;
            Ok(Kept { fresh, _lock: lock })
        });
        let ended = |error| ObjectError::Io { doing: "keeping an object", source: io::Error::other(error) };
        kept.await.map_err(ended).flatten()
    }

    /// All objects, one after the other.
    pub async fn walk(&self) -> Result<Walk, ObjectError> {
        Ok(Walk(match &self.bucket {
            None => Way::Folder(Some(self.folder.list().await?)),
            Some(bucket) => Way::Bucket(Arc::clone(bucket), bucket.list()),
        }))
    }

    /// Which of these objects are missing.
    pub async fn lacks(&self, hashes: Vec<String>) -> Result<Vec<String>, ObjectError> {
        match &self.bucket {
            None => self.folder.lacks(hashes).await,
            Some(bucket) => bucket.lacks(hashes).await,
        }
    }

    /// Gives up what was left half sent, by an earlier process or because the bucket was away.
    pub async fn give_up_left(&self) {
        if let Some(bucket) = &self.bucket {
            bucket.give_up_left().await;
        }
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
        match &self.bucket {
            None => self.folder.remove(sha256).await?,
            Some(bucket) => bucket.remove(sha256).await?,
        }
        Ok(true)
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

/// Whether a file's name is the hash of an object.
fn is_hash(name: &str) -> bool {
    name.len() == 64 && name.bytes().all(|byte| byte.is_ascii_hexdigit())
}
