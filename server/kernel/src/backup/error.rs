//! Why a backup was not made, read or restored.

use std::io;
use std::path::PathBuf;

use crate::objects::{CannotOpen, ObjectError};
use crate::{OpenError, StoreError};

/// Why a backup was not made, read or restored.
#[derive(Debug, thiserror::Error)]
pub enum BackupError {
    /// Another one is under way.
    #[error("another backup of this control plane is under way: wait for its end")]
    Busy,
    /// The server stops.
    #[error("stopped before the backup was whole")]
    Stopped,
    /// There is no database.
    #[error("there is no database {}: name it with --db-path or MINITOWER_DB_PATH", .0.display())]
    NoDatabase(PathBuf),
    /// There is no folder of objects.
    #[error(
        "there is no folder {}: name the folder of the objects with --objects-dir or MINITOWER_OBJECTS_DIR, or their bucket with \
         MINITOWER_OBJECTS_URL", .0.display()
    )]
    NoObjects(PathBuf),
    /// None of the objects is there.
    #[error(
        "none of the {0} objects that the database names is in the configured store: is MINITOWER_OBJECTS_DIR or MINITOWER_OBJECTS_URL \
         that of the server?"
    )]
    AllMissing(u64),
    /// The database says nothing of itself: it was never opened by this version.
    #[error("the database has no name of its own yet: start this version of the server on it once")]
    Nameless,
    /// The target holds the backups of another control plane.
    #[error("{0} holds backups of another control plane, which each would remove: name another place")]
    Foreign(String),
    /// The target has no backup.
    #[error("there is no whole backup in {0}")]
    None(String),
    /// It has not this one.
    #[error(
        "there is no whole backup {name} in {place}: `minitowerd backup list` shows those that there are"
    )]
    Unknown {
        /// The name.
        name: String,
        /// The target.
        place: String,
    },
    /// The backup is of a newer version.
    #[error("the backup {name} has format {format}, which only a newer version of MiniTower can read")]
    Newer {
        /// Its name.
        name: String,
        /// Its format.
        format: u32,
    },
    /// The backup is not what it should be.
    #[error("the backup {name} is damaged: {what}")]
    Damaged {
        /// Its name.
        name: String,
        /// What is wrong.
        what: String,
    },
    /// Objects of the backup are not there.
    #[error(
        "the backup lacks {count} of its objects, among them {first}: restore another one, or this one without them by --allow-missing"
    )]
    Lacks {
        /// How many.
        count: u64,
        /// One of them.
        first: String,
    },
    /// There is a key file that would be overwritten.
    #[error(
        "{} has other keys than the backup: move it away, or name another place with MINITOWER_SECRETS_KEY_FILE", .0.display()
    )]
    OtherKey(PathBuf),
    /// The key file was to be included, and is not there.
    #[error("there is no key file {} to include: the server makes it when the first secret is set", .0.display())]
    NoKey(PathBuf),
    /// The disk has no room.
    #[error("{} has {free} bytes free, and the database needs {needed}: make room, or name another place", folder.display())]
    NoRoom {
        /// Where.
        folder: PathBuf,
        /// What is free.
        free: u64,
        /// What is needed.
        needed: u64,
    },
    /// The volume of the objects has no room for what is on its way to a bucket.
    #[error(
        "{} has {free} bytes free, and a copy of the database on its way to the bucket needs {needed}: make room on the volume of \
         MINITOWER_OBJECTS_DIR", folder.display()
    )]
    NoRoomToStage {
        /// Where.
        folder: PathBuf,
        /// What is free.
        free: u64,
        /// What is needed.
        needed: u64,
    },
    /// The snapshot took too long.
    #[error(
        "copying the database to {} took longer than {minutes} minutes, and the write-ahead log cannot be folded meanwhile: name a \
         faster place, or a bucket", to.display()
    )]
    TooSlow {
        /// Where.
        to: PathBuf,
        /// The limit.
        minutes: u64,
    },
    /// Objects go faster than they are copied.
    #[error("objects are deleted faster than they can be copied: try again when less is going on")]
    Restless,
    /// A file on this machine.
    #[error("{doing} {} failed: {source}", path.display())]
    File {
        /// What was tried.
        doing: &'static str,
        /// On which file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The target.
    #[error("{place} cannot be used: {}", of_target(.source))]
    Target {
        /// The target.
        place: String,
        /// Why.
        source: ObjectError,
    },
    /// The configured store of the objects.
    #[error("the objects cannot be used: {}", in_full(.0))]
    Objects(#[source] ObjectError),
    /// A store cannot be opened.
    #[error("cannot open {0}: {1}")]
    Open(String, #[source] CannotOpen),
    /// The database.
    #[error(transparent)]
    Database(#[from] OpenError),
    /// The database does not answer.
    #[error("the database cannot be read: {0}")]
    Store(#[from] StoreError),
    /// SQLite.
    #[error("the copy of the database cannot be used: {0}")]
    Sqlite(#[from] rusqlite::Error),
}

impl BackupError {
    pub(super) fn file(doing: &'static str, path: &std::path::Path) -> impl FnOnce(io::Error) -> Self {
        move |source| Self::File { doing, path: path.to_owned(), source }
    }
}

fn in_full(error: &ObjectError) -> String {
    match std::error::Error::source(error) {
        Some(source) => format!("{error}: {source}"),
        None => error.to_string(),
    }
}

fn of_target(error: &ObjectError) -> String {
    match error {
        ObjectError::Full(_) => "its disk is full".to_owned(),
        other => in_full(other),
    }
}
