//! Connections and how they are set up.

use std::any::Any;
use std::cell::{Cell, RefCell};
use std::fs::File;
use std::ops::Deref;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use minitower_vocabulary::time::Timestamp;
use nix::fcntl::{Flock, FlockArg};
use rusqlite::types::{FromSql, FromSqlResult, ToSql, ToSqlOutput, ValueRef};
use rusqlite::{CachedStatement, Connection, OpenFlags, Params, Row};

use crate::events::{Event, Subscribers};
use crate::{OpenError, StoreError, acting};

/// How long a statement waits for a lock that another program (a backup, a shell) holds.
const BUSY_TIMEOUT: Duration = Duration::from_secs(5);
/// Instructions of SQLite's machine between two looks at the clock: a fraction of a millisecond.
const STEPS_PER_LOOK: i32 = 10_000;
/// More than the number of different statements, so that each is compiled once per connection.
const CACHED_STATEMENTS: usize = 128;

/// What a statement met that speaks of a broken disk.
#[derive(Debug)]
pub(crate) enum Broken {
    /// The disk did not read or write.
    Disk(String),
    /// What is on it is not what was written: only a restart, or a restored backup, can help.
    Database(String),
}

/// A connection. In a read closure it sees one snapshot and refuses writes.
#[derive(Debug)]
pub struct Db {
    pub(crate) conn: Connection,
    /// Whether a statement met a full disk since this was last asked.
    full: Cell<bool>,
    /// What a statement met that speaks of a broken disk, since this was last asked.
    broken: RefCell<Option<Broken>>,
    /// When what it does has to end; none: never.
    until: Option<Arc<Until>>,
}

/// A moment by which a read has to end. A snapshot that stays open keeps the write-ahead log from being folded.
#[derive(Debug)]
pub(crate) struct Until {
    base: Instant,
    /// Milliseconds after `base`.
    at: AtomicU64,
}

impl Until {
    fn set(&self, longest: Duration) {
        let at = self.base.elapsed() + longest;
        self.at.store(u64::try_from(at.as_millis()).unwrap_or(u64::MAX), Ordering::Relaxed);
    }

    fn is_over(&self) -> bool {
        self.base.elapsed().as_millis() >= u128::from(self.at.load(Ordering::Relaxed))
    }
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
            // two syncs, so there is one in 8,000 pages (32 MiB) and not in SQLite's 1,000: see `log`.
            "PRAGMA journal_mode = WAL; PRAGMA synchronous = NORMAL; PRAGMA foreign_keys = ON; PRAGMA wal_autocheckpoint = 8000;
             PRAGMA journal_size_limit = 67108864;",
        )
    }

    pub(crate) fn open_reader(path: &Path) -> Result<Self, OpenError> {
        let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        Self::open(path, flags, "PRAGMA query_only = ON;")
    }

    /// Makes the triggers that follow what is written here, and who acts known to them.
    pub(crate) fn follow(&self, path: &Path, triggers: &[String]) -> Result<(), OpenError> {
        acting::teach(&self.conn)
            .and_then(|()| triggers.iter().try_for_each(|sql| self.conn.execute_batch(sql)))
            .map_err(|source| OpenError::Sqlite { path: path.to_owned(), source })
    }

    /// A connection that was opened otherwise.
    pub(crate) fn of(conn: Connection) -> Self {
        Self { conn, full: Cell::new(false), broken: RefCell::new(None), until: None }
    }

    /// From now on what it does ends after `longest`, whatever its statements are at.
    pub(crate) fn end_after(&mut self, longest: Duration) -> Result<(), StoreError> {
        let until = if let Some(until) = &self.until {
            until
        } else {
            let until = Arc::new(Until { base: Instant::now(), at: AtomicU64::new(u64::MAX) });
            let asked = Arc::clone(&until);
            self.conn.progress_handler(STEPS_PER_LOOK, Some(move || asked.is_over()))?;
            self.until.insert(until)
        };
        until.set(longest);
        Ok(())
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
        let mut rows = statement.query(params).map_err(|e| self.failed(e))?;
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
        let mut rows = statement.query(params).map_err(|e| self.failed(e))?;
        let mut all = Vec::new();
        while let Some(row) = rows.next().map_err(|e| self.failed(e))? {
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
        let mut rows = statement.query(params).map_err(|e| self.failed(e))?;
        let (mut all, mut bytes) = (Vec::new(), 0);
        while bytes < max_bytes
            && let Some(row) = rows.next().map_err(|e| self.failed(e))?
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
        if self.until.as_ref().is_some_and(|until| until.is_over()) {
            return Err(StoreError::too_long());
        }
        self.conn.prepare_cached(sql).map_err(|e| self.failed(e))
    }

    /// Runs statements that are not those of a transaction.
    pub(crate) fn batch(&self, sql: &str) -> Result<(), StoreError> {
        self.conn.execute_batch(sql).map_err(|e| self.failed(e))
    }

    /// Folds what no read needs of the write-ahead log into the database, and answers how many pages are left in it.
    pub(crate) fn checkpoint_passive(&self) -> Result<u32, StoreError> {
        let (pages, folded): (i64, i64) = self
            .conn
            .query_row("PRAGMA wal_checkpoint(PASSIVE)", (), |row| Ok((row.get(1)?, row.get(2)?)))
            .map_err(|e| self.failed(e))?;
        Ok(u32::try_from(pages - folded).unwrap_or(0))
    }

    /// Folds the whole write-ahead log into the database, and empties it.
    pub(crate) fn checkpoint_whole(&self) -> Result<(), StoreError> {
        self.conn.query_row("PRAGMA wal_checkpoint(TRUNCATE)", (), |_| Ok(())).map_err(|e| self.failed(e))
    }

    /// What a statement's failure means; what it says of the disk is noted besides.
    fn failed(&self, error: rusqlite::Error) -> StoreError {
        use rusqlite::ErrorCode as Code;
        match error.sqlite_error_code() {
            Some(Code::DiskFull) => self.full.set(true),
            // The index of the write-ahead log could not grow.
            Some(Code::SystemIoFailure)
                if error
                    .sqlite_error()
                    .is_some_and(|e| e.extended_code == rusqlite::ffi::SQLITE_IOERR_SHMSIZE) =>
            {
                self.full.set(true);
            }
            Some(Code::SystemIoFailure) => {
                self.broken.replace(Some(Broken::Disk(error.to_string())));
            }
            Some(Code::DatabaseCorrupt | Code::NotADatabase) => {
                self.broken.replace(Some(Broken::Database(error.to_string())));
            }
            _ => {}
        }
        error.into()
    }

    /// What a statement met that speaks of a broken disk, since this was last asked.
    pub(crate) fn take_broken(&self) -> Option<Broken> {
        self.broken.take()
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
    subscribers: &'a Subscribers,
    events: RefCell<Vec<Event>>,
}

impl<'a> Tx<'a> {
    pub(crate) fn new(db: &'a Db, subscribers: &'a Subscribers) -> Self {
        Self { db, subscribers, events: RefCell::new(Vec::new()) }
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
        let event: Event = Box::new(event);
        self.subscribers.emitted(&event);
        self.events.borrow_mut().push(event);
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
pub(crate) struct Lock(Arc<Flock<File>>);

impl Lock {
    /// The open database file, for those who read it past SQLite.
    pub(crate) fn file(&self) -> Arc<Flock<File>> {
        Arc::clone(&self.0)
    }

    /// The same for as long as this lives.
    pub(crate) fn as_file(&self) -> &File {
        &self.0
    }

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
        Flock::lock(file, FlockArg::LockExclusiveNonblock).map(Arc::new).map(Self).map_err(|(_, errno)| {
            match errno {
                nix::errno::Errno::EWOULDBLOCK => OpenError::InUse(PathBuf::from(path)),
                other => io(other.into()),
            }
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
