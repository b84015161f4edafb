//! Reading a backup back: the objects first and the database last, so that what breaks off can begin again.

use std::path::{Path, PathBuf};

use futures_util::{StreamExt as _, TryStreamExt as _, stream};

use super::there::{Hash, digits};
use super::transfer::Sink;
use super::{BackupError, Manifest, Name, Step, Target, Tell};
use crate::objects::{Claim, ObjectError, Objects, One};

/// Objects that are copied at a time.
const AT_ONCE: usize = 4;
/// Objects whose hashes are told.
const TOLD: usize = 20;

/// What became of the objects of a backup.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Fetched {
    /// Objects that were copied.
    pub copied: u64,
    /// Their bytes.
    pub bytes: u64,
    /// Objects that were there already.
    pub there: u64,
    /// Objects that the database names and the backup does not have.
    pub missing: u64,
}

/// Finds the backup of that name, or the newest one.
pub async fn choose(target: &Target, name: Option<&Name>) -> Result<Manifest, BackupError> {
    let place = target.place().to_string();
    if let Some(name) = name {
        let unknown = BackupError::Unknown { name: name.to_string(), place };
        return target.manifest(name).await?.ok_or(unknown);
    }
    for name in target.names().await?.iter().rev() {
        // One that cannot be read is not passed over: an older one is another choice.
        if let Some(manifest) = target.manifest(name).await? {
            return Ok(manifest);
        }
    }
    Err(BackupError::None(place))
}

/// The newest backup that can be read; none: there is none.
pub async fn newest(target: &Target) -> Result<Option<Manifest>, BackupError> {
    for name in target.names().await?.iter().rev() {
        match target.manifest(name).await {
            Ok(None) | Err(BackupError::Damaged { .. } | BackupError::Newer { .. }) => {}
            found => return found,
        }
    }
    Ok(None)
}

/// What becomes of one object.
enum Became {
    Copied(u64),
    There,
    Missing(Hash),
}

/// Copies the objects of a backup to a store that has none of another control plane. With `allow_missing`, those that the backup lacks
/// are left out.
pub async fn fetch_objects(
    target: &Target,
    manifest: &Manifest,
    objects: &Objects,
    allow_missing: bool,
    tell: &Tell,
) -> Result<Fetched, BackupError> {
    if objects.claim(&manifest.owner).await.map_err(BackupError::Objects)? == Claim::Foreign {
        return Err(BackupError::Foreign("the configured store of the objects".to_owned()));
    }
    let list = target.read_list(manifest).await?;
    let mut fetched = Fetched { missing: list.lost.len() as u64, ..Fetched::default() };
    let all = list.there.iter().map(|(hash, bytes)| fetch_object(target, objects, *hash, *bytes));
    let mut all = stream::iter(all).buffer_unordered(AT_ONCE);
    let (mut first, mut lacking) = (None, 0);
    while let Some(became) = all.try_next().await? {
        match became {
            Became::There => fetched.there += 1,
            Became::Copied(bytes) => {
                fetched.copied += 1;
                fetched.bytes += bytes;
            }
            Became::Missing(hash) => {
                let hash = digits(&hash);
                if lacking < TOLD as u64 {
                    tracing::error!(sha256 = hash, "an object is missing from the backup, or damaged in it");
                }
                lacking += 1;
                first.get_or_insert(hash);
            }
        }
        tell.tell(Step::Objects { copied: fetched.copied, bytes: fetched.bytes });
    }
    drop(all);
    match first {
        Some(first) if !allow_missing => Err(BackupError::Lacks { count: lacking, first }),
        _ => {
            fetched.missing += lacking;
            Ok(fetched)
        }
    }
}

async fn fetch_object(
    target: &Target,
    objects: &Objects,
    hash: Hash,
    bytes: u64,
) -> Result<Became, BackupError> {
    let sha256 = digits(&hash);
    if objects.length(&sha256).await.map_err(BackupError::Objects)? == Some(bytes) {
        return Ok(Became::There);
    }
    match target.objects().copy_object(objects, &sha256, bytes).await {
        Ok(One::Copied) => Ok(Became::Copied(bytes)),
        Ok(One::Gone | One::Damaged) => Ok(Became::Missing(hash)),
        Err(failed) if failed.there => Err(BackupError::Objects(failed.error)),
        Err(failed) if matches!(failed.error, ObjectError::Damaged { .. }) => Ok(Became::Missing(hash)),
        Err(failed) => Err(target.failed(failed.error)),
    }
}

/// Checks the database of a backup against its manifest, and answers where it is: in the target, or, from a bucket, in `temporary`.
pub async fn fetch_database(
    target: &Target,
    manifest: &Manifest,
    temporary: &Path,
    tell: &Tell,
) -> Result<PathBuf, BackupError> {
    let (name, file) = (&manifest.name, &manifest.database);
    if let Some(path) = target.local(name, &file.name) {
        target.fetch(name, file, Sink::Nowhere, tell).await?;
        return Ok(path);
    }
    let path = temporary.join(&file.name);
    target.fetch(name, file, Sink::File(&path), tell).await?;
    Ok(path)
}

/// The key file that is in a backup; none: it has none.
pub async fn fetch_key(target: &Target, manifest: &Manifest) -> Result<Option<Vec<u8>>, BackupError> {
    let Some(file) = &manifest.key_file else { return Ok(None) };
    let mut text = Vec::new();
    target.fetch(&manifest.name, file, Sink::Memory(&mut text), &Tell::nobody()).await?;
    Ok(Some(text))
}
