//! Where backups lie: what is read and written there besides the objects.

use std::fs::{self, File};
use std::io::{self, Read as _, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Path as FilePath, PathBuf};
use std::time::Duration;

use futures_util::TryStreamExt as _;
use object_store::path::Path;
use object_store::{ObjectStoreExt as _, PutPayload};
use tokio::time::timeout;

use super::{BackupError, Manifest, Name, Place};
use crate::objects::{Client, ObjectError, Objects};

/// The manifest of a backup.
pub(super) const MANIFEST: &str = "manifest.json";
/// Whose backups these are.
const OWNER: &str = "owner";
/// The folder of the objects.
const OBJECTS: &str = "objects";
/// Longest manifest that is read.
const MAX_MANIFEST: u64 = 1 << 20;
/// Most backups that are listed.
const MOST: usize = 10_000;
/// Bytes read or written at a time.
pub(super) const PIECE: usize = 1 << 20;
/// How long a short request to a bucket may take, and one that sends a part.
pub(super) const SHORT: Duration = Duration::from_secs(30);
pub(super) const LONG: Duration = Duration::from_mins(2);

/// A place of backups.
pub struct Target {
    place: Place,
    objects: Objects,
    pub(super) kind: Kind,
}

pub(super) enum Kind {
    Folder(PathBuf),
    Bucket(Client),
}

impl std::fmt::Debug for Target {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Target").field("place", &self.place).finish_non_exhaustive()
    }
}

impl Target {
    /// Opens it. Nothing is asked of a bucket yet. `staging` is a folder for what is on its way to or from one.
    pub fn open(place: &Place, staging: &FilePath) -> Result<Self, BackupError> {
        let cannot = |error| BackupError::Open(place.to_string(), error);
        let (objects, kind) = match place {
            Place::Folder(folder) => {
                let objects = folder.join(OBJECTS);
                // Made by the first backup, and not by a look.
                (Objects::of_folder(&objects), Kind::Folder(folder.clone()))
            }
            Place::Bucket(location) => {
                let client = location.client().map_err(|error| cannot(error.into()))?;
                let objects =
                    Objects::open_beside(staging, Some(&location.below(OBJECTS))).map_err(cannot)?;
                (objects, Kind::Bucket(client))
            }
        };
        Ok(Self { place: place.clone(), objects, kind })
    }

    /// Where it is.
    pub fn place(&self) -> &Place {
        &self.place
    }

    /// The objects in it.
    pub(super) fn objects(&self) -> &Objects {
        &self.objects
    }

    pub(super) fn failed(&self, source: ObjectError) -> BackupError {
        BackupError::Target { place: self.place.to_string(), source }
    }

    /// Makes it the place of the backups of one control plane, if it is nobody's.
    pub(super) async fn claim(&self, owner: &str) -> Result<(), BackupError> {
        if let Kind::Folder(folder) = &self.kind {
            let made = fs::DirBuilder::new().recursive(true).mode(0o700).create(folder.join(OBJECTS));
            made.map_err(|error| self.failed(ObjectError::io("making the folder")(error)))?;
            self.remove_left_uploads(&folder.join(OBJECTS))?;
        } else {
            self.objects.give_up_left().await;
        }
        match self.read(OWNER).await? {
            Some(found) if found.trim_ascii() == owner.as_bytes() => Ok(()),
            Some(_) => Err(BackupError::Foreign(self.place.to_string())),
            None => self.write(OWNER, owner.as_bytes().to_vec()).await,
        }
    }

    /// Uploads that a backup left when it was killed. Only one at a time is under way.
    fn remove_left_uploads(&self, objects: &FilePath) -> Result<(), BackupError> {
        let removed = (|| {
            for entry in fs::read_dir(objects)? {
                let entry = entry?;
                if entry.file_name().to_string_lossy().starts_with("upload-") {
                    fs::remove_file(entry.path())?;
                }
            }
            Ok(())
        })();
        removed.map_err(|error| self.failed(ObjectError::io("removing what a killed backup left")(error)))
    }

    /// All names of backups, whole or not, in the order of time.
    pub(super) async fn names(&self) -> Result<Vec<Name>, BackupError> {
        let doing = "listing the backups";
        let mut names: Vec<Name> = match &self.kind {
            Kind::Folder(folder) => match fs::read_dir(folder) {
                Err(error) if error.kind() == io::ErrorKind::NotFound => Vec::new(),
                Err(error) => return Err(self.failed(ObjectError::io(doing)(error))),
                Ok(entries) => {
                    let names = entries.flatten().take(MOST);
                    names.filter_map(|entry| Name::parse(&entry.file_name().to_string_lossy())).collect()
                }
            },
            Kind::Bucket(client) => {
                let prefix = (!client.prefix.as_ref().is_empty()).then_some(&client.prefix);
                let listed = self.ask(doing, SHORT, client.store.list_with_delimiter(prefix)).await?;
                let folders = listed.map(|listed| listed.common_prefixes).unwrap_or_default();
                folders.iter().take(MOST).filter_map(|path| Name::parse(path.filename()?)).collect()
            }
        };
        names.sort();
        Ok(names)
    }

    /// The manifest of a backup; none: it is not whole.
    pub(super) async fn manifest(&self, name: &Name) -> Result<Option<Manifest>, BackupError> {
        let text = self.read(&format!("{name}/{MANIFEST}")).await?;
        text.map(|text| Manifest::of_json(name, &text)).transpose()
    }

    /// All whole backups, in the order of time. One whose manifest cannot be read is told in its place.
    pub async fn list(&self) -> Result<Vec<Result<Manifest, BackupError>>, BackupError> {
        let mut whole = Vec::new();
        for name in self.names().await? {
            match self.manifest(&name).await {
                Ok(Some(manifest)) => whole.push(Ok(manifest)),
                Ok(None) => {}
                Err(error @ (BackupError::Damaged { .. } | BackupError::Newer { .. })) => {
                    whole.push(Err(error));
                }
                Err(error) => return Err(error),
            }
        }
        Ok(whole)
    }

    /// Where a file of a backup is made, if that is in the target itself.
    pub(super) fn local(&self, name: &Name, file: &str) -> Option<PathBuf> {
        match &self.kind {
            Kind::Folder(folder) => Some(folder.join(name.as_str()).join(file)),
            Kind::Bucket(_) => None,
        }
    }

    /// Makes the folder of a backup, in a folder.
    pub(super) fn make_folder(&self, name: &Name) -> Result<(), BackupError> {
        let Kind::Folder(folder) = &self.kind else { return Ok(()) };
        let made = fs::DirBuilder::new().recursive(true).mode(0o700).create(folder.join(name.as_str()));
        made.map_err(|error| self.failed(ObjectError::io("making the folder of the backup")(error)))
    }

    /// Writes a short file, durably and whole or not at all.
    pub(super) async fn write(&self, name: &str, content: Vec<u8>) -> Result<(), BackupError> {
        let doing = "writing a file of the backup";
        match &self.kind {
            Kind::Folder(folder) => {
                let path = folder.join(name);
                write_durably(&path, &content).map_err(|error| self.failed(ObjectError::io(doing)(error)))
            }
            Kind::Bucket(client) => {
                let path = at(client, name);
                let put = async { client.store.put(&path, PutPayload::from(content)).await.map(drop) };
                self.ask(doing, LONG, put).await.map(drop)
            }
        }
    }

    pub(super) async fn open_file(
        &self,
        name: &str,
    ) -> Result<Option<futures_util::stream::BoxStream<'static, io::Result<bytes::Bytes>>>, BackupError> {
        use futures_util::StreamExt as _;
        let doing = "reading the backup";
        match &self.kind {
            Kind::Folder(folder) => match tokio::fs::File::open(folder.join(name)).await {
                Ok(file) => Ok(Some(tokio_util::io::ReaderStream::with_capacity(file, PIECE).boxed())),
                Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
                Err(error) => Err(self.failed(ObjectError::io(doing)(error))),
            },
            Kind::Bucket(client) => {
                let path = at(client, name);
                let got = self.ask(doing, SHORT, client.store.get(&path)).await?;
                Ok(got.map(|got| got.into_stream().map_err(io::Error::other).boxed()))
            }
        }
    }

    /// Reads a short file; none: it is not there.
    async fn read(&self, name: &str) -> Result<Option<Vec<u8>>, BackupError> {
        let doing = "reading the backup";
        match &self.kind {
            Kind::Folder(folder) => match File::open(folder.join(name)) {
                Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
                opened => {
                    let mut text = Vec::new();
                    let read = opened.and_then(|file| file.take(MAX_MANIFEST).read_to_end(&mut text));
                    read.map_err(|error| self.failed(ObjectError::io(doing)(error)))?;
                    Ok(Some(text))
                }
            },
            Kind::Bucket(client) => {
                let path = at(client, name);
                let read = async {
                    let got = client.store.get(&path).await?;
                    if got.meta.size > MAX_MANIFEST { Ok(bytes::Bytes::new()) } else { got.bytes().await }
                };
                Ok(self.ask(doing, SHORT, read).await?.map(Vec::from))
            }
        }
    }

    /// Removes a backup, but not its objects. The manifest goes first: what is left is not listed any more.
    pub(super) async fn remove(&self, name: &Name) -> Result<(), BackupError> {
        let doing = "removing a backup";
        match &self.kind {
            Kind::Folder(folder) => {
                let folder = folder.join(name.as_str());
                let removed = (|| {
                    match fs::remove_file(folder.join(MANIFEST)) {
                        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
                        _ => {}
                    }
                    match fs::remove_dir_all(&folder) {
                        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
                        _ => Ok(()),
                    }
                })();
                removed.map_err(|error| self.failed(ObjectError::io(doing)(error)))
            }
            Kind::Bucket(client) => {
                let manifest = at(client, &format!("{name}/{MANIFEST}"));
                self.ask(doing, SHORT, client.store.delete(&manifest)).await?;
                let below = at(client, name.as_str());
                let listed = client.store.list_with_delimiter(Some(&below));
                let files =
                    self.ask(doing, SHORT, listed).await?.map(|listed| listed.objects).unwrap_or_default();
                for file in files {
                    self.ask(doing, SHORT, client.store.delete(&file.location)).await?;
                }
                Ok(())
            }
        }
    }

    /// Asks a bucket something, within a time; none: what was asked for is not there.
    pub(super) async fn ask<T>(
        &self,
        doing: &'static str,
        within: Duration,
        asked: impl Future<Output = object_store::Result<T>>,
    ) -> Result<Option<T>, BackupError> {
        match timeout(within, asked).await {
            Ok(Ok(answer)) => Ok(Some(answer)),
            Ok(Err(error @ object_store::Error::NotFound { .. }))
                if !crate::objects::is_no_bucket(&error) =>
            {
                Ok(None)
            }
            Ok(Err(error)) => Err(self.failed(ObjectError::bucket(doing)(error))),
            Err(_) => {
                let reason = format!("the object store does not answer within {} s", within.as_secs());
                Err(self.failed(ObjectError::Bucket { doing, reason }))
            }
        }
    }
}

pub(super) fn no_bucket() -> ObjectError {
    ObjectError::Bucket {
        doing: "sending a file of the backup",
        reason: "there is no such bucket".to_owned(),
    }
}

pub(super) fn at(client: &Client, name: &str) -> Path {
    name.split('/').fold(client.prefix.clone(), Path::join)
}

fn write_durably(path: &FilePath, content: &[u8]) -> io::Result<()> {
    let mut part = path.as_os_str().to_owned();
    part.push(".part");
    let part = PathBuf::from(part);
    let mut file = File::options().write(true).create(true).truncate(true).mode(0o600).open(&part)?;
    file.write_all(content)?;
    file.sync_all()?;
    fs::rename(&part, path)?;
    let folder = path.parent().unwrap_or(path);
    File::open(folder)?.sync_all()?;
    if let Some(above) = folder.parent() {
        File::open(above)?.sync_all()?;
    }
    Ok(())
}
