//! Connections and how they are set up.

use std::any::Any;
use std::cell::{Cell, RefCell};
use std::fs::File;
use std::ops::Deref;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use minitower_vocabulary::time::Timestamp;
use nix::fcntl::{Flock, FlockArg};
use rusqlite::types::{FromSql, FromSqlResult, ToSql, ToSqlOutput, ValueRef};
use rusqlite::{CachedStatement, Connection, OpenFlags, Params, Row};

use crate::events::Event;
use crate::{OpenError, StoreError};

/// How long a statement waits for a lock that another program (a backup, a shell) holds.
const BUSY_TIMEOUT: Duration = Duration::from_secs(5);
/// More than the number of different statements, so that each is compiled once per connection.
const CACHED_STATEMENTS: usize = 128;

/// A connection. In a read closure it sees one snapshot and refuses writes.
#[derive(Debug)]
pub struct Db {
    pub(crate) conn: Connection,
    /// Whether a statement met a full disk since the writer last asked.
    full: Cell<bool>,
}

impl Db {
    pub(crate) fn open_writer(path: &Path) -> Result<Self, OpenError> {
        let flags = OpenFlags::SQLITE_OPEN_READ_WRITE
            | OpenFlags::SQLITE_OPEN_CREATE
            | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        Self::open(
            path,
            flags,
            // NORMAL, and a sync of our own after each commit and before its answers: see `disk`. A checkpoint holds up the writer for
            // two syncs, so there is one in 8,000 pages (32 MiB) and not in SQLite's 1,000.
            "PRAGMA journal_mode = WAL; PRAGMA synchronous = NORMAL; PRAGMA foreign_keys = ON; PRAGMA wal_autocheckpoint = 8000;",
        )
    }

    pub(crate) fn open_reader(path: &Path) -> Result<Self, OpenError> {
        let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        Self::open(path, flags, "PRAGMA query_only = ON;")
    }

    /// A connection that was opened otherwise.
    pub(crate) fn of(conn: Connection) -> Self {
        Self { conn, full: Cell::new(false) }
    }

    fn open(path: &Path, flags: OpenFlags, pragmas: &str) -> Result<Self, OpenError> {
        let open = || -> rusqlite::Result<Connection> {
            let conn = Connection::open_with_flags(path, flags)?;
            conn.busy_timeout(BUSY_TIMEOUT)?;
            conn.set_prepared_statement_cache_capacity(CACHED_STATEMENTS);
            conn.execute_batch(pragmas)?;
            Ok(conn)
        };
        open().map(Self::of).map_err(|source| OpenError::Sqlite { path: path.to_owned(), source })
    }

    /// The first row, if any.
    pub fn one<T, P: Params>(
        &self,
        sql: &str,
        params: P,
        read: impl FnOnce(&Row<'_>) -> Result<T, StoreError>,
    ) -> Result<Option<T>, StoreError> {
        let mut statement = self.prepare(sql)?;
        let mut rows = statement.query(params)?;
        rows.next().map_err(|e| self.failed(e))?.map(read).transpose()
    }

    /// All rows; every caller bounds their number.
    pub fn all<T, P: Params>(
        &self,
        sql: &str,
        params: P,
        mut read: impl FnMut(&Row<'_>) -> Result<T, StoreError>,
    ) -> Result<Vec<T>, StoreError> {
        let mut statement = self.prepare(sql)?;
        let mut rows = statement.query(params)?;
        let mut all = Vec::new();
        while let Some(row) = rows.next()? {
            all.push(read(row)?);
        }
        Ok(all)
    }

    /// Rows until their sizes, which `read` tells beside each, make `max_bytes`; every caller bounds their number too.
    pub fn all_within<T, P: Params>(
        &self,
        sql: &str,
        params: P,
        max_bytes: usize,
        mut read: impl FnMut(&Row<'_>) -> Result<(T, usize), StoreError>,
    ) -> Result<Vec<T>, StoreError> {
        let mut statement = self.prepare(sql)?;
        let mut rows = statement.query(params)?;
        let (mut all, mut bytes) = (Vec::new(), 0);
        while bytes < max_bytes
            && let Some(row) = rows.next()?
        {
            let (one, size) = read(row)?;
            bytes += size;
            all.push(one);
        }
        Ok(all)
    }

    /// Compiles a statement, to be run inside the transaction. SQLite rolls a transaction back by itself when the disk is full; what is
    /// run after that would be committed on its own.
    fn prepare(&self, sql: &str) -> Result<CachedStatement<'_>, StoreError> {
        if self.conn.is_autocommit() {
            return Err(StoreError::Unavailable("the transaction was rolled back".to_owned()));
        }
        Ok(self.conn.prepare_cached(sql)?)
    }

    /// What a statement's failure means; that the disk is full is noted besides.
    fn failed(&self, error: rusqlite::Error) -> StoreError {
        if error.sqlite_error_code() == Some(rusqlite::ErrorCode::DiskFull) {
            self.full.set(true);
        }
        error.into()
    }

    /// Whether a statement met a full disk since this was last asked.
    pub(crate) fn take_full(&self) -> bool {
        self.full.take()
    }

    /// Answers whether the database answers at all.
    pub fn ping(&self) -> Result<(), StoreError> {
        self.one("SELECT count(*) FROM sqlite_schema", (), |_| Ok(())).map(|_| ())
    }
}

/// A write transaction, or rather one command's part of it. Reads see what it wrote.
#[derive(Debug)]
pub struct Tx<'a> {
    db: &'a Db,
    events: RefCell<Vec<Event>>,
}

impl<'a> Tx<'a> {
    pub(crate) fn new(db: &'a Db) -> Self {
        Self { db, events: RefCell::new(Vec::new()) }
    }

    /// Runs a statement and answers how many rows it changed.
    pub fn execute<P: Params>(&self, sql: &str, params: P) -> Result<usize, StoreError> {
        self.prepare(sql)?.execute(params).map_err(|e| self.failed(e))
    }

    /// Runs an INSERT and answers the new row's id.
    pub fn insert<P: Params>(&self, sql: &str, params: P) -> Result<i64, StoreError> {
        self.prepare(sql)?.insert(params).map_err(|e| self.failed(e))
    }

    /// Says what the commit will have changed. Subscribers hear of it after the commit, and nobody does if it does not happen.
    pub fn emit<E: Any + Send>(&self, event: E) {
        self.events.borrow_mut().push(Box::new(event));
    }

    pub(crate) fn into_events(self) -> Vec<Event> {
        self.events.into_inner()
    }
}

impl Deref for Tx<'_> {
    type Target = Db;

    fn deref(&self) -> &Db {
        self.db
    }
}

/// Keeps a second control plane off the database: an advisory `flock(2)` on the database file itself, which does not meet the `fcntl(2)` locks of SQLite. Held until after the
/// last connection is closed, because closing any descriptor of a file gives up the process's `fcntl` locks on it.
#[derive(Debug)]
pub(crate) struct Lock(#[expect(dead_code, reason = "held, not read")] Flock<File>);

impl Lock {
    pub(crate) fn take(path: &Path) -> Result<Self, OpenError> {
        let io = |source| OpenError::Io { path: path.to_owned(), source };
        if let Some(folder) = path.parent().filter(|p| !p.as_os_str().is_empty()) {
            std::fs::create_dir_all(folder).map_err(io)?;
        }
        // Hashes of tokens and every team's inputs are in it: nobody else's business. SQLite gives its own files the same mode.
        let file = File::options()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .mode(0o600)
            .open(path)
            .map_err(io)?;
        Flock::lock(file, FlockArg::LockExclusiveNonblock).map(Self).map_err(|(_, errno)| match errno {
            nix::errno::Errno::EWOULDBLOCK => OpenError::InUse(PathBuf::from(path)),
            other => io(other.into()),
        })
    }
}

/// A [`Timestamp`] in a column.
#[derive(Debug, Clone, Copy)]
pub struct At(pub Timestamp);

impl ToSql for At {
    fn to_sql(&self) -> rusqlite::Result<ToSqlOutput<'_>> {
        Ok(ToSqlOutput::from(self.0.0))
    }
}

impl FromSql for At {
    fn column_result(value: ValueRef<'_>) -> FromSqlResult<Self> {
        i64::column_result(value).map(|ms| Self(Timestamp(ms)))
    }
}

/// Reads a time.
pub fn at(row: &Row<'_>, column: &str) -> Result<Timestamp, StoreError> {
    Ok(row.get::<_, At>(column)?.0)
}

/// Reads a time that may be missing.
pub fn maybe_at(row: &Row<'_>, column: &str) -> Result<Option<Timestamp>, StoreError> {
    Ok(row.get::<_, Option<At>>(column)?.map(|at| at.0))
}
