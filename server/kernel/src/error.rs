//! What can go wrong with the database.

use std::path::PathBuf;

/// A query or command failed.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// Nothing was changed; the same may work later: disk full, lock held by somebody else, too many waiting, shutting down.
    #[error("the database is not available: {0}")]
    Unavailable(String),
    /// A row makes no sense: somebody else wrote into the database.
    #[error("inconsistent data: {0}")]
    Inconsistent(String),
    /// A decision was made on a row that has changed since.
    #[error("stale {what} {id}: the row changed since it was read")]
    Stale {
        /// The kind of row.
        what: &'static str,
        /// Its id.
        id: i64,
    },
    /// A unique name is taken.
    #[error("already there")]
    Taken,
    /// The command panicked; its changes were undone.
    #[error("a command panicked")]
    Panicked,
    /// Anything else SQLite says.
    #[error("database error: {0}")]
    Sqlite(rusqlite::Error),
}

impl From<rusqlite::Error> for StoreError {
    fn from(error: rusqlite::Error) -> Self {
        use rusqlite::ErrorCode as Code;
        match error.sqlite_error_code() {
            Some(Code::DiskFull) => Self::Unavailable("the disk is full".to_owned()),
            Some(Code::DatabaseBusy | Code::DatabaseLocked) => {
                Self::Unavailable("another program holds its lock".to_owned())
            }
            Some(Code::SystemIoFailure | Code::OutOfMemory) => Self::Unavailable(error.to_string()),
            Some(Code::ConstraintViolation)
                if error.sqlite_error().is_some_and(|e| {
                    e.extended_code == rusqlite::ffi::SQLITE_CONSTRAINT_UNIQUE
                        || e.extended_code == rusqlite::ffi::SQLITE_CONSTRAINT_PRIMARYKEY
                }) =>
            {
                Self::Taken
            }
            _ => Self::Sqlite(error),
        }
    }
}

/// The database cannot be opened; each message is one line that names the file and the way out.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// Linked against an old SQLite.
    #[error("SQLite {found} is too old: at least {wanted} is needed")]
    OldSqlite {
        /// What is linked in.
        found: &'static str,
        /// What is needed.
        wanted: &'static str,
    },
    /// Another process has it.
    #[error(
        "{0} is in use by another process: stop that one first; two control planes never share a database"
    )]
    InUse(PathBuf),
    /// Written by a newer release.
    #[error(
        "{path} was written by a newer version (schema {found}, this program knows {known}): run the newer release, or restore the copy made before its migration"
    )]
    Newer {
        /// The database.
        path: PathBuf,
        /// Its schema.
        found: usize,
        /// The newest schema known here.
        known: usize,
    },
    /// The file system said no.
    #[error("cannot open {path}: {source}")]
    Io {
        /// The file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// SQLite said no.
    #[error("cannot open {path}: {source}")]
    Sqlite {
        /// The database.
        path: PathBuf,
        /// Why.
        source: rusqlite::Error,
    },
    /// A migration failed; the database is as it was.
    #[error("cannot migrate {path}: {reason}")]
    Migration {
        /// The database.
        path: PathBuf,
        /// Why.
        reason: String,
    },
    /// A backup cannot become the database.
    #[error("cannot restore {backup} to {path}: {reason}")]
    Restore {
        /// Where the database would be.
        path: PathBuf,
        /// The backup.
        backup: PathBuf,
        /// Why.
        reason: String,
    },
}
