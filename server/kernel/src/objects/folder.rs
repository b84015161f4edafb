//! Objects in a folder: one file each, named by its hash.

use std::io;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use tokio::fs::File;

use super::content::{Content, Pieces};
use super::upload::{Received, UPLOAD_PREFIX};
use super::{Found, ObjectError, is_hash};

/// The folder. It also holds uploads in progress, wherever they go afterwards.
#[derive(Debug)]
pub(super) struct Folder {
    pub(super) dir: PathBuf,
}

impl Folder {
    /// Makes the folder when there is none, and removes what interrupted uploads left.
    pub(super) fn open(dir: &Path) -> io::Result<Self> {
        use std::os::unix::fs::PermissionsExt as _;
        std::fs::create_dir_all(dir)?;
        std::fs::set_permissions(dir, std::fs::Permissions::from_mode(0o700))?;
        for entry in std::fs::read_dir(dir)? {
            let entry = entry?;
            if entry.file_name().to_string_lossy().starts_with(UPLOAD_PREFIX) {
                std::fs::remove_file(entry.path())?;
            }
        }
        Ok(Self { dir: dir.to_owned() })
    }

    /// Answers whether the object was not there before.
    pub(super) async fn keep(&self, received: Received) -> Result<bool, ObjectError> {
        let (dir, path) = (self.dir.clone(), self.dir.join(&received.sha256));
        let kept = tokio::task::spawn_blocking(move || {
            let fresh = !path.exists();
            // Onto an equal file this changes nothing, and saves telling a whole file from one cut by a crash.
            std::fs::rename(&received.path, &path)?;
            std::fs::File::open(&dir)?.sync_all()?;
            Ok::<_, io::Error>(fresh)
        });
        kept.await.map_err(io::Error::other).flatten().map_err(ObjectError::io("keeping an object"))
    }

    pub(super) async fn read(&self, sha256: &str, bytes: u64) -> Result<Content, ObjectError> {
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
        Ok(Content::of_file(file, bytes))
    }

    /// The length of an object; none: it is missing.
    pub(super) async fn length(&self, sha256: &str) -> Result<Option<u64>, ObjectError> {
        match tokio::fs::metadata(self.dir.join(sha256)).await {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            found => Ok(Some(found.map_err(ObjectError::io("reading an object"))?.len())),
        }
    }

    /// A part of an object, whatever its length.
    pub(super) async fn part(&self, sha256: &str, part: Range<u64>) -> Result<Pieces, ObjectError> {
        let doing = "reading an object";
        let file = match File::open(self.dir.join(sha256)).await {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                return Err(ObjectError::Missing { sha256: sha256.to_owned() });
            }
            opened => opened.map_err(ObjectError::io(doing))?,
        };
        Content::of_file(file, part.end).part(part).await
    }

    pub(super) async fn remove(&self, sha256: &str) -> Result<(), ObjectError> {
        match tokio::fs::remove_file(self.dir.join(sha256)).await {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                Err(ObjectError::io("removing an object")(error))
            }
            _ => Ok(()),
        }
    }

    pub(super) async fn lacks(&self, hashes: Vec<String>) -> Result<Vec<String>, ObjectError> {
        let dir = self.dir.clone();
        let looked = tokio::task::spawn_blocking(move || {
            let mut missing = Vec::new();
            for sha256 in hashes {
                if !std::fs::exists(dir.join(&sha256))? {
                    missing.push(sha256);
                }
            }
            Ok(missing)
        });
        looked.await.map_err(io::Error::other).flatten().map_err(ObjectError::io("looking for objects"))
    }

    pub(super) async fn list(&self) -> Result<std::fs::ReadDir, ObjectError> {
        tokio::fs::metadata(&self.dir).await.map_err(ObjectError::io("listing the objects"))?;
        std::fs::read_dir(&self.dir).map_err(ObjectError::io("listing the objects"))
    }
}

/// The next objects of a folder, in no order, and the rest of them.
pub(super) async fn next(
    mut entries: std::fs::ReadDir,
    most: usize,
) -> Result<(Vec<Found>, std::fs::ReadDir), ObjectError> {
    let looked = tokio::task::spawn_blocking(move || {
        let mut found = Vec::new();
        while found.len() < most {
            let Some(entry) = entries.next() else { break };
            let entry = entry?;
            let sha256 = entry.file_name().to_string_lossy().into_owned();
            if !is_hash(&sha256) {
                continue;
            }
            match entry.metadata() {
                Ok(metadata) => {
                    let modified = metadata.modified().unwrap_or(SystemTime::UNIX_EPOCH);
                    found.push(Found { sha256, bytes: metadata.len(), modified });
                }
                // It was removed since.
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                Err(error) => return Err(error),
            }
        }
        Ok((found, entries))
    });
    looked.await.map_err(io::Error::other).flatten().map_err(ObjectError::io("listing the objects"))
}
