//! What MiniTower keeps: a SQLite database, and the only crate with SQL.
//!
//! [`Store::write`] runs a closure in a transaction of the one [`writer`], [`Store::read`] on a pool of read-only connections. Inside,
//! one module per aggregate offers the queries; rows become domain types on the way out and a row that makes no sense is a
//! [`StoreError::Inconsistent`]. No rule of the product lives here: guards re-check row versions, and the schema in `migrations/` refuses what
//! must never be.

pub mod apps;
pub mod artifacts;
pub mod attempts;
pub mod counts;
mod db;
pub mod effects;
pub mod environments;
mod error;
pub mod fences;
pub mod logs;
mod migrate;
pub mod objects;
pub mod queue;
mod readers;
pub mod registration_tokens;
mod restore;
pub mod runners;
pub mod runs;
pub mod teams;
pub mod tokens;
pub mod versions;
mod writer;

use std::path::{Path, PathBuf};

pub use db::{Db, Tx};
pub use error::{OpenError, StoreError};
pub use migrate::SQLITE_AT_LEAST;
pub use restore::restore;
pub use writer::{Hooks, OnCommit};

use crate::readers::Readers;
use crate::writer::Writer;

/// How many read-only connections the pool holds: enough to keep two cores busy while one waits for the disk.
const READERS: usize = 4;

/// The database.
#[derive(Debug)]
pub struct Store {
    path: PathBuf,
    // Dropped in this order: the connections close before the lock is given up.
    writer: Writer,
    readers: Readers,
    _lock: db::Lock,
}

impl Store {
    /// Opens the database at `path`, makes it when there is none, migrates it, and starts the writer.
    pub fn open(path: &Path, hooks: Hooks) -> Result<Self, OpenError> {
        migrate::assert_sqlite_version()?;
        let lock = db::Lock::take(path)?;
        let mut writer = Db::open_writer(path)?;
        migrate::run(&mut writer, path)?;
        let readers = Readers::open(path, READERS)?;
        let writer = Writer::spawn(writer, hooks)?;
        Ok(Self { path: path.to_owned(), writer, readers, _lock: lock })
    }

    /// Runs `f` in a transaction of its own, committed together with the others that wait (group commit), and answers once the commit
    /// is durable. An error of `f` undoes what `f` did and nothing else. `f` may be run after its caller has gone.
    pub async fn write<T, E, F>(&self, f: F) -> Result<T, E>
    where
        T: Send + 'static,
        E: From<StoreError> + Send + 'static,
        F: FnOnce(&Tx<'_>) -> Result<T, E> + Send + 'static,
    {
        self.writer.run(f).await
    }

    /// Runs `f` on a read-only connection, in a snapshot of its own.
    pub async fn read<T, E, F>(&self, f: F) -> Result<T, E>
    where
        T: Send + 'static,
        E: From<StoreError> + Send + 'static,
        F: FnOnce(&Db) -> Result<T, E> + Send + 'static,
    {
        self.readers.run(f).await
    }

    /// Bytes of the database and its write-ahead log on disk.
    pub fn size_bytes(&self) -> u64 {
        let size = |path: &Path| std::fs::metadata(path).map_or(0, |m| m.len());
        let mut wal = self.path.clone().into_os_string();
        wal.push("-wal");
        size(&self.path) + size(Path::new(&wal))
    }

    /// Finishes the waiting commands, folds the write-ahead log into the database and closes it. Later writes are refused.
    pub async fn close(&self) -> Result<(), StoreError> {
        self.writer.close().await
    }
}

/// Version of the SQLite library that is linked in.
pub fn sqlite_version() -> &'static str {
    rusqlite::version()
}
