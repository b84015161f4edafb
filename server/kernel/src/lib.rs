//! What every subject of the control plane stands on. It knows no team, no run and no HTTP.
//!
//! | module | what |
//! |---|---|
//! | [`Store`] | one writer with group commit, a pool of readers, migrations, restore |
//! | [`events`] | what a commit changed, told to those who follow it |
//! | [`due`] | "call me at this time": one task, for everything that the server does by itself |
//! | [`clock`] | the server's time, which no jump of the wall clock moves |
//! | [`objects`] | files named by their SHA-256 |
//! | [`remembered`] | reads kept in memory until a commit may have changed them |
//! | [`page`] | which part of a list is asked for |
//!
//! Invariants: nothing in memory changes before its commit, and no command is answered before it. A subject's tables are named
//! by that subject alone; here stand only the schema's versions and what SQLite itself keeps.

mod check;
pub mod clock;
mod columns;
mod copy;
mod db;
mod disk;
pub mod due;
mod error;
pub mod events;
mod identity;
pub mod metrics;
mod migrate;
pub mod objects;
pub mod page;
mod readers;
pub mod remembered;
mod restore;
mod waiting;
mod writer;

use std::path::{Path, PathBuf};

pub use columns::Columns;
pub use db::{At, Db, Tx, at, maybe_at};
pub use error::{CopyError, MigrationError, OpenError, RestoreError, StoreError};
pub use identity::Stranger;
pub use migrate::SQLITE_AT_LEAST;
pub use restore::restore;
/// The rows and parameters of SQL, for the stores of the subjects.
pub use rusqlite;
pub use writer::Hooks;

use crate::disk::Progress;
use crate::events::Subscribers;
use crate::readers::Readers;
use crate::waiting::Class;
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
    progress: Progress,
    _lock: db::Lock,
}

impl Store {
    /// Opens the database at `path`, makes it when there is none, migrates it, and starts the writer.
    pub fn open(path: &Path, subscribers: Subscribers, hooks: Hooks) -> Result<Self, OpenError> {
        migrate::assert_sqlite_version()?;
        let lock = db::Lock::take(path)?;
        let stranger = |source| OpenError::Stranger { path: path.to_owned(), source };
        let found = identity::identify(path).map_err(stranger)?;
        // A clean stop folds the write-ahead log into the database and removes it.
        let unclean = found == identity::Identity::Ours && copy::with_suffix(path, "-wal").exists();
        let mut writer = Db::open_writer(path)?;
        if unclean {
            check::after_unclean_stop(&writer.conn, path)?;
        }
        migrate::run(&mut writer, path, migrate::Before::Copy)?;
        let readers = Readers::open(path, READERS)?;
        let progress = Progress::new();
        let writer = Writer::spawn(writer, path, progress.clone(), subscribers, hooks)?;
        Ok(Self { path: path.to_owned(), writer, readers, progress, _lock: lock })
    }

    /// Runs `f` in a transaction of its own, committed together with the others that wait (group commit), and answers once the commit
    /// is durable. An error of `f` undoes what `f` did and nothing else. `f` may be run after its caller has gone.
    pub async fn write<T, E, F>(&self, f: F) -> Result<T, E>
    where
        T: Send + 'static,
        E: From<StoreError> + Send + 'static,
        F: FnOnce(&Tx<'_>) -> Result<T, E> + Send + 'static,
    {
        self.writer.run(Class::Rest, f).await
    }

    /// The same for lease traffic: polls, cancellations and the calls under a lease. It goes before other commands, so that no upload
    /// and no ten thousand creations delay a heartbeat.
    pub async fn write_lease<T, E, F>(&self, f: F) -> Result<T, E>
    where
        T: Send + 'static,
        E: From<StoreError> + Send + 'static,
        F: FnOnce(&Tx<'_>) -> Result<T, E> + Send + 'static,
    {
        self.writer.run(Class::Lease, f).await
    }

    /// Runs `f` on a read-only connection, in a snapshot of its own, and answers once all is durable that it can have seen.
    pub async fn read<T, E, F>(&self, f: F) -> Result<T, E>
    where
        T: Send + 'static,
        E: From<StoreError> + Send + 'static,
        F: FnOnce(&Db) -> Result<T, E> + Send + 'static,
    {
        let result = self.readers.run(f).await;
        self.durable().await;
        result
    }

    /// Waits until all is durable that was committed so far. Who answers out of memory that follows commits waits for this first.
    pub async fn durable(&self) {
        self.progress.durable().await;
    }

    /// Answers whether the database answers.
    pub async fn ping(&self) -> Result<(), StoreError> {
        self.readers.run(Db::ping).await
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
