//! The object store: one file per archive of a version or artifact of a run, named by its SHA-256. The same bytes are one file.

use std::collections::HashSet;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use minitower_store::objects;
use sha2::{Digest, Sha256};
use tokio::fs::File;
use tokio::io::{AsyncWriteExt as _, BufWriter};

use crate::{App, Error, StartError};

/// Uploads in progress carry this prefix; what a crash leaves of them is removed at start.
const UPLOAD_PREFIX: &str = "upload-";
/// Bytes gathered before they go to disk.
const BUFFER: usize = 256 * 1024;

/// The folder of the objects.
#[derive(Debug)]
pub struct Objects {
    dir: PathBuf,
    /// Held from keeping an object until the row that names it is committed, and while one is removed because no row does.
    pub(crate) keeping: tokio::sync::Mutex<()>,
}

/// An object that is being received: on disk and hashed as it comes, gone when dropped.
#[derive(Debug)]
pub struct Upload {
    path: PathBuf,
    file: BufWriter<File>,
    hash: Sha256,
    bytes: u64,
    limit: Limit,
}

/// How long an object may be.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Limit {
    /// Most bytes.
    pub(crate) bytes: u64,
    /// What it is, and what decides the limit, for the message.
    pub(crate) what: &'static str,
    pub(crate) decided_by: &'static str,
}

impl Limit {
    /// Refuses what is longer.
    pub(crate) fn check(self, bytes: u64) -> Result<(), Error> {
        if bytes <= self.bytes {
            return Ok(());
        }
        let Self { bytes, what, decided_by } = self;
        Err(Error::PayloadTooLarge(format!("{what} is over the limit of {bytes} bytes{decided_by}")))
    }
}

/// An object that was received whole, not yet kept; gone when dropped.
#[derive(Debug)]
pub(crate) struct Received {
    path: PathBuf,
    pub(crate) sha256: String,
    pub(crate) bytes: u64,
}

impl Objects {
    /// Opens the folder, makes it when there is none, and removes what interrupted uploads left.
    pub(crate) fn open(dir: &Path) -> Result<Self, StartError> {
        let objects = || -> std::io::Result<()> {
            std::fs::create_dir_all(dir)?;
            std::fs::set_permissions(dir, std::fs::Permissions::from_mode(0o700))?;
            for entry in std::fs::read_dir(dir)? {
                let entry = entry?;
                if entry.file_name().to_string_lossy().starts_with(UPLOAD_PREFIX) {
                    std::fs::remove_file(entry.path())?;
                }
            }
            Ok(())
        };
        objects().map_err(|source| StartError::Objects { path: dir.to_owned(), source })?;
        Ok(Self { dir: dir.to_owned(), keeping: tokio::sync::Mutex::default() })
    }

    /// Begins an upload.
    pub(crate) async fn begin(&self, limit: Limit) -> Result<Upload, Error> {
        let mut name = [0_u8; 16];
        getrandom::fill(&mut name).map_err(|e| Error::internal("no random numbers", e))?;
        let path = self.dir.join(format!("{UPLOAD_PREFIX}{}", hex(&name)));
        let file = File::options()
            .write(true)
            .read(true)
            .create_new(true)
            .open(&path)
            .await
            .map_err(|e| disk("cannot store an upload", &e))?;
        Ok(Upload {
            path,
            file: BufWriter::with_capacity(BUFFER, file),
            hash: Sha256::new(),
            bytes: 0,
            limit,
        })
    }

    /// Opens an object of so many bytes. One that is missing or not whole is not found: no retry of the caller's brings it back, so the answer says
    /// what it was and the way out.
    pub(crate) async fn read(
        &self,
        sha256: &str,
        bytes: i64,
        what: impl Fn() -> String,
        way_out: &str,
    ) -> Result<File, Error> {
        let path = self.dir.join(sha256);
        let opened = async {
            let file = File::open(&path).await?;
            let found = file.metadata().await?.len();
            Ok::<_, std::io::Error>((file, found))
        };
        match opened.await {
            Ok((file, found)) if i64::try_from(found) == Ok(bytes) => Ok(file),
            Ok((_, found)) => {
                tracing::error!(sha256, found, bytes, "an object has another length than when it was stored");
                Err(Error::not_found(format!("{} is damaged in the object store: {way_out}", what())))
            }
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
                tracing::error!(sha256, "an object is missing");
                Err(Error::not_found(format!("{} is missing from the object store: {way_out}", what())))
            }
            Err(error) => Err(Error::internal(&format!("cannot read the object {sha256}"), error)),
        }
    }

    /// Keeps an object under its hash, durably; true when it was not there before.
    pub(crate) async fn keep(&self, received: Received) -> Result<bool, Error> {
        let (dir, path) = (self.dir.clone(), self.dir.join(&received.sha256));
        let kept = tokio::task::spawn_blocking(move || {
            let fresh = !path.exists();
            // Onto an equal file this changes nothing, and saves telling a whole file from one cut by a crash.
            std::fs::rename(&received.path, &path)?;
            std::fs::File::open(&dir)?.sync_all()?;
            Ok::<_, std::io::Error>(fresh)
        });
        kept.await
            .map_err(|e| Error::internal("cannot keep an object", e))?
            .map_err(|e| disk("cannot keep an object", &e))
    }

    async fn names(&self) -> Result<Vec<String>, Error> {
        let dir = self.dir.clone();
        let names = tokio::task::spawn_blocking(move || {
            std::fs::read_dir(dir)?
                .map(|e| e.map(|e| e.file_name().to_string_lossy().into_owned()))
                .collect::<std::io::Result<Vec<_>>>()
        });
        names
            .await
            .map_err(|e| Error::internal("cannot list the objects", e))?
            .map_err(|e| disk("cannot list the objects", &e))
    }

    async fn remove(&self, sha256: &str) -> Result<(), Error> {
        match tokio::fs::remove_file(self.dir.join(sha256)).await {
            Err(e) if e.kind() != std::io::ErrorKind::NotFound => Err(disk("cannot remove an object", &e)),
            _ => Ok(()),
        }
    }
}

impl Upload {
    /// Takes the next bytes.
    pub async fn write(&mut self, chunk: &[u8]) -> Result<(), Error> {
        self.bytes += chunk.len() as u64;
        self.limit.check(self.bytes)?;
        self.hash.update(chunk);
        self.file.write_all(chunk).await.map_err(|e| disk("cannot store an upload", &e))
    }

    /// Everything has come: puts it on disk and tells its hash.
    pub(crate) async fn finish(mut self) -> Result<Received, Error> {
        let flushed = async {
            self.file.flush().await?;
            self.file.get_ref().sync_all().await
        };
        flushed.await.map_err(|e| disk("cannot store an upload", &e))?;
        let sha256 = hex(&std::mem::take(&mut self.hash).finalize());
        // The file changes hands: an empty path keeps this drop off it.
        Ok(Received { path: std::mem::take(&mut self.path), sha256, bytes: self.bytes })
    }
}

impl Received {
    /// Opens the object for reading, from its start.
    pub(crate) fn open(&self) -> Result<std::fs::File, Error> {
        std::fs::File::open(&self.path).map_err(|e| disk("cannot read an upload", &e))
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
        && error.kind() != std::io::ErrorKind::NotFound
    {
        tracing::warn!(%error, path = %path.display(), "cannot remove a temporary file");
    }
}

fn disk(what: &str, error: &std::io::Error) -> Error {
    match error.kind() {
        std::io::ErrorKind::StorageFull | std::io::ErrorKind::QuotaExceeded => {
            Error::Unavailable(format!("{what}: the server's disk is full"))
        }
        _ => Error::internal(what, error),
    }
}

fn hex(bytes: &[u8]) -> String {
    use std::fmt::Write as _;
    bytes.iter().fold(String::with_capacity(bytes.len() * 2), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}

impl App {
    /// Begins an upload of a version's archive.
    pub async fn begin_upload(&self) -> Result<Upload, Error> {
        let limit = Limit {
            bytes: self.inner().settings.max_artifact_bytes,
            what: "the archive",
            decided_by: " (MINITOWER_MAX_ARTIFACT_SIZE on the server)",
        };
        self.inner().objects.begin(limit).await
    }

    /// Removes objects that no row names: a crash came between keeping the file and committing the row, or after deleting the row.
    pub(crate) async fn remove_orphans(&self) -> Result<(), Error> {
        let names: HashSet<String> = self.inner().objects.names().await?.into_iter().collect();
        let candidates: Vec<String> =
            names.into_iter().filter(|n| n.len() == 64 && n.bytes().all(|b| b.is_ascii_hexdigit())).collect();
        let orphans = self
            .store()
            .read(move |db| {
                let mut orphans = Vec::new();
                for name in candidates {
                    if !objects::in_use(db, &name)? {
                        orphans.push(name);
                    }
                }
                Ok::<_, Error>(orphans)
            })
            .await?;
        for orphan in orphans {
            self.inner().objects.remove(&orphan).await?;
            tracing::info!(sha256 = orphan, "removed an object that nothing names");
        }
        Ok(())
    }

    /// Removes an object unless something names it. Whoever calls this holds [`Objects::keeping`].
    pub(crate) async fn forget_if_unused(&self, sha256: String) {
        let name = sha256.clone();
        let used = self.store().read(move |db| Ok::<_, Error>(objects::in_use(db, &name)?)).await;
        if let Ok(false) = used
            && let Err(error) = self.inner().objects.remove(&sha256).await
        {
            tracing::warn!(%error, sha256, "an object that nothing names is left until the next start");
        }
    }
}
