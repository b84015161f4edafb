//! What can go wrong with the database.

use std::any::Any;
use std::io;
use std::path::PathBuf;

use crate::identity::Stranger;

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

impl StoreError {
    /// A read was ended because it took too long.
    pub(crate) fn too_long() -> Self {
        Self::Unavailable("the read took too long and was ended".to_owned())
    }
}

/// What a panic said.
pub(crate) fn panic_text(panic: &(dyn Any + Send)) -> &str {
    panic
        .downcast_ref::<&str>()
        .copied()
        .or_else(|| panic.downcast_ref::<String>().map(String::as_str))
        .unwrap_or("no message")
}

impl From<rusqlite::Error> for StoreError {
    fn from(error: rusqlite::Error) -> Self {
        use rusqlite::ErrorCode as Code;
        match error.sqlite_error_code() {
            Some(Code::DiskFull) => Self::Unavailable("the disk is full".to_owned()),
            Some(Code::DatabaseBusy | Code::DatabaseLocked) => {
                Self::Unavailable("another program holds its lock".to_owned())
            }
            Some(Code::OperationInterrupted) => Self::too_long(),
            // Of a database that is open: a file beside it, or for sorting, when the process has no files left.
            Some(Code::SystemIoFailure | Code::OutOfMemory | Code::CannotOpen) => {
                Self::Unavailable(error.to_string())
            }
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
    /// It is not a database of this program.
    #[error(
        "cannot use {path}: {source}; nothing in it was changed. Name another file with MINITOWER_DB_PATH"
    )]
    Stranger {
        /// The file.
        path: PathBuf,
        /// What it is.
        source: Stranger,
    },
    /// Pages of it are damaged.
    #[error("{path} is damaged: {verdict}; move it away with its -wal file, and restore a backup")]
    Damaged {
        /// The database.
        path: PathBuf,
        /// What SQLite's check says.
        verdict: String,
    },
    /// The file system said no.
    #[error("cannot open {path}: {source}; MINITOWER_DB_PATH names the database")]
    Io {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// SQLite said no.
    #[error("cannot open {path}: {source}")]
    Sqlite {
        /// The database.
        path: PathBuf,
        /// Why.
        source: rusqlite::Error,
    },
    /// The database was not migrated.
    #[error("cannot migrate {path}: {source}")]
    Migration {
        /// The database.
        path: PathBuf,
        /// Why.
        source: Box<MigrationError>,
    },
    /// A backup cannot become the database.
    #[error("cannot restore {backup} to {path}: {source}")]
    Restore {
        /// Where the database would be.
        path: PathBuf,
        /// The backup.
        backup: PathBuf,
        /// Why.
        source: Box<RestoreError>,
    },
}

/// Why a database was not migrated.
#[derive(Debug, thiserror::Error)]
pub enum MigrationError {
    /// It was not copied before.
    #[error(transparent)]
    Copy(#[from] CopyError),
    /// Its version cannot be read.
    #[error("{}", in_one_line(.0))]
    Version(#[source] rusqlite_migration::Error),
    /// Foreign keys cannot be switched.
    #[error(transparent)]
    ForeignKeys(rusqlite::Error),
    /// A step failed.
    #[error("step {step}: {}; the database is as it was before this step", in_one_line(.source))]
    Step {
        /// The step's file.
        step: &'static str,
        /// Why.
        source: rusqlite_migration::Error,
    },
}

/// Why a database was not copied.
#[derive(Debug, thiserror::Error)]
pub enum CopyError {
    /// SQLite takes names in UTF-8 only.
    #[error("{0} is not UTF-8")]
    Name(PathBuf),
    /// There is a former copy that cannot be removed.
    #[error("cannot replace {path}: {source}")]
    Replace {
        /// The copy.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The file cannot be made.
    #[error("cannot copy the database to {path}: {source}")]
    Make {
        /// The copy.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// It cannot be filled.
    #[error("cannot copy the database to {path}: {source}")]
    Fill {
        /// The copy.
        path: PathBuf,
        /// Why.
        source: rusqlite::Error,
    },
}

/// Why a backup did not become the database.
#[derive(Debug, thiserror::Error)]
pub enum RestoreError {
    /// There is a database.
    #[error("there is a database already: move it away, with its -wal and -shm files")]
    Exists,
    /// There is the log, or the journal, of another database.
    #[error("the former database's {0} file is still there: move it away too")]
    FormerLog(&'static str),
    /// There is no backup.
    #[error("there is no such file")]
    Absent,
    /// The backup has nothing in it.
    #[error("the backup is empty: if it was copied from a running server, its -wal file is missing")]
    Empty,
    /// The backup is not a database of this program, or not whole.
    #[error("the backup cannot be used: {0}")]
    Stranger(#[from] Stranger),
    /// A file cannot be removed or renamed.
    #[error(transparent)]
    Io(#[from] io::Error),
    /// The backup cannot be opened.
    #[error(transparent)]
    Open(#[from] OpenError),
    /// The backup cannot be read.
    #[error("the backup cannot be read: {0}")]
    Read(#[source] rusqlite::Error),
    /// The backup is no whole database.
    #[error("the backup is damaged: {verdict}")]
    Damaged {
        /// What SQLite's check says.
        verdict: String,
    },
    /// The backup cannot be copied.
    #[error(transparent)]
    Copy(#[from] CopyError),
    /// What must not be as it was cannot be put right.
    #[error(transparent)]
    Revive(#[from] StoreError),
}

/// Without the step's text, which the error has in it, once or twice.
fn in_one_line(error: &rusqlite_migration::Error) -> String {
    match error {
        rusqlite_migration::Error::RusqliteError {
            err: rusqlite::Error::SqlInputError { msg, .. }, ..
        } => msg.clone(),
        rusqlite_migration::Error::RusqliteError { err, .. } => err.to_string(),
        other => other.to_string(),
    }
}

/// An error and its sources in one line, from the outermost to the innermost. What a library says twice is said once.
pub fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        let said = cause.to_string();
        if !text.contains(&said) {
            text.push_str(": ");
            text.push_str(&said);
        }
        source = cause.source();
    }
    text
}
