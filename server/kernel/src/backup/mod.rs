//! Backups: the database and the objects that its rows name, in a folder or a bucket.
//!
//! A target holds any number of backups of one control plane:
//!
//! ```text
//! owner                     whose backups these are
//! objects/HASH              the objects, shared by all backups
//! NAME/minitower.db         the database, in one file
//! NAME/objects.txt          the hash and the length of each object that it names
//! NAME/secrets.key          the keys of its secrets, if they were asked for
//! NAME/manifest.json        what the backup is; written last, so that a half-made one has none
//! ```
//!
//! Objects are copied first, while nothing is held. Then comes the snapshot, then what is new in it. An object is kept before a row
//! names it and removed after the last row is gone, so what is missing after the snapshot was deleted since: the next snapshot does not
//! name it any more. What two snapshots name and the store lacks is lost, and the manifest says so
//! ([ADR 0039](../../../../docs/adr/0039-backups-are-copied-files.md)).

mod error;
mod make;
mod manifest;
mod prune;
mod restoring;
mod snapshot;
mod staging;
mod target;
#[cfg(test)]
mod tests;
mod there;
mod transfer;
mod verify;

use std::path::PathBuf;
use std::sync::Arc;

use crate::objects::Location;
use crate::{Db, StoreError};

pub use error::BackupError;
pub use make::{Made, Plan, make};
pub use manifest::{Key, Manifest, Name};
pub use restoring::{Fetched, choose, fetch_database, fetch_key, fetch_objects, newest};
pub use snapshot::Source;
pub use staging::Staging;
pub use target::Target;
pub use verify::{Report, verify};

/// Where backups lie.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Place {
    /// A folder.
    Folder(PathBuf),
    /// A bucket.
    Bucket(Location),
}

impl std::fmt::Display for Place {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Folder(folder) => folder.display().fmt(f),
            Self::Bucket(location) => location.fmt(f),
        }
    }
}

/// What the subjects know of their database, and the kernel does not.
#[derive(Debug, Clone, Copy)]
pub struct Knows {
    /// Hashes of objects that rows name, in their order, after one of them, so many at most.
    pub objects: fn(&Db, &str, i64) -> Result<Vec<String>, StoreError>,
    /// The name that the database gave itself.
    pub owner: fn(&Db) -> Result<Option<String>, StoreError>,
    /// Whether it has secrets.
    pub secrets: fn(&Db) -> Result<bool, StoreError>,
}

/// What is being done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Step {
    /// Objects are compared and copied: so many were, with so many bytes.
    Objects {
        /// Objects.
        copied: u64,
        /// Their bytes.
        bytes: u64,
    },
    /// The database is copied: so many bytes of so many.
    Database {
        /// Copied.
        done: u64,
        /// All of them.
        of: u64,
    },
    /// The database is sent to the target, or read from it.
    Transfer {
        /// Sent or read.
        done: u64,
        /// All of them.
        of: u64,
    },
    /// What was copied is checked.
    Check,
}

/// Who is told of each step. A cheap clone.
#[derive(Clone)]
pub struct Tell(Arc<dyn Fn(Step) + Send + Sync>);

impl Tell {
    /// Tells it to `tell`.
    pub fn to(tell: impl Fn(Step) + Send + Sync + 'static) -> Self {
        Self(Arc::new(tell))
    }

    /// Tells nobody.
    pub fn nobody() -> Self {
        Self::to(|_| {})
    }

    fn tell(&self, step: Step) {
        (self.0)(step);
    }
}

impl std::fmt::Debug for Tell {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Tell")
    }
}
