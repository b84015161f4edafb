//! What every subject of the control plane stands on. It knows no team, no run and no HTTP.
//!
//! | module | what |
//! |---|---|
//! | [`Store`] | one writer with group commit, a pool of readers, migrations, restore |
//! | [`events`] | what a commit changed, told to those who follow it |
//! | [`feed`] | the same once it is durable, for those who tell the outside |
//! | [`topics`] | what is told to any number of listeners, in bounded memory |
//! | [`due`] | "call me at this time": one task, for everything that the server does by itself |
//! | [`clock`] | the server's time, which no jump of the wall clock moves |
//! | [`backup`] | the database and its objects in another place, and back |
//! | [`objects`] | files named by their SHA-256 |
//! | [`outbound`] | requests to the outside, signed, and safe against being sent elsewhere |
//! | [`trust`] | certificates that are trusted in addition to the system's |
//! | [`remembered`] | reads kept in memory until a commit may have changed them |
//! | [`volumes`] | how much room there is, and whether the disks still read and write |
//! | [`acting`] | who acts: what follows the changes of people asks it |
//! | [`page`] | which part of a list is asked for |
//!
//! Invariants: nothing in memory changes before its commit, and no command is answered before it. A subject's tables are named
//! by that subject alone; here stand only the schema's versions and what SQLite itself keeps.

pub mod acting;
pub mod backup;
mod check;
pub mod clock;
mod columns;
mod copy;
mod db;
mod disk;
pub mod due;
mod error;
pub mod events;
pub mod feed;
mod files;
mod identity;
mod log;
pub mod metrics;
mod migrate;
pub mod objects;
pub mod outbound;
pub mod page;
mod places;
mod readers;
pub mod remembered;
mod restore;
pub mod topics;
pub mod trust;
mod vacuum;
pub mod volumes;
mod waiting;
mod writer;

use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};

pub use columns::Columns;
pub use db::{At, Db, Tx, at, maybe_at};
pub use error::{CopyError, MigrationError, OpenError, RestoreError, StoreError, chain};
pub use identity::Stranger;
pub use migrate::SQLITE_AT_LEAST;
pub use restore::restore;
/// The rows and parameters of SQL, for the stores of the subjects.
pub use rusqlite;
pub use vacuum::{Vacuumed, vacuum};
pub use writer::Hooks;

use crate::disk::Progress;
use crate::events::Subscribers;
use crate::log::{Folder, Turn};
use crate::readers::Readers;
use crate::volumes::probe::Probe;
use crate::volumes::{Volumes, Watch, reserve};
use crate::waiting::Class;
use crate::writer::Writer;

/// How many read-only connections the pool holds: enough to keep two cores busy while one waits for the disk.
const READERS: usize = 4;

/// The database.
#[derive(Debug)]
pub struct Store {
    path: PathBuf,
    // Dropped in this order: the connections close before the lock is given up.
    watch: OnceLock<Watch>,
    _folder: Folder,
    writer: Writer,
    readers: Readers,
    progress: Progress,
    volumes: Volumes,
    lock: db::Lock,
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
        reserve::make_room_to_open(path);
        let mut writer = Db::open_writer(path)?;
        if unclean {
            check::after_unclean_stop(&writer.conn, path)?;
        }
        migrate::run(&mut writer, path, migrate::Before::Copy)?;
        writer.follow(path, subscribers.triggers())?;
        let volumes = Volumes::unwatched(path);
        let readers = Readers::open(path, READERS, readers::LONGEST, volumes.clone())?;
        let progress = Progress::new();
        let folder = Folder::start(path, volumes.clone(), log::MOST_BYTES)?;
        let turn = Turn::new(volumes.clone(), Arc::clone(&folder.elsewhere));
        let writer = Writer::spawn(writer, path, progress.clone(), turn, subscribers, hooks)?;
        let watch = OnceLock::new();
        Ok(Self { path: path.to_owned(), watch, _folder: folder, writer, readers, progress, volumes, lock })
    }

    /// Begins to watch the volumes of the database and of the folder `objects`, once. From then on what the volumes do not allow is
    /// refused, and `fatal` is called, like the hook, when the database turns out to be damaged.
    pub fn watch(
        &self,
        objects: &Path,
        fatal: impl Fn(&str) + Send + Sync + 'static,
    ) -> Result<(), OpenError> {
        let cannot = |source| OpenError::Io { path: self.path.clone(), source };
        self.volumes.end_process_with(fatal);
        let probe = Probe::of_database(&self.path, self.lock.file()).map_err(cannot)?;
        let watch = Watch::start(self.volumes.clone(), &self.path, probe, objects).map_err(cannot)?;
        // A second one would be of no use, and ends at once.
        let _ = self.watch.set(watch);
        Ok(())
    }

    /// The database, for backups that are made while it is served.
    pub fn source(&self) -> backup::Source {
        backup::Source::served(&self.path, self.lock.file())
    }

    /// What is known of the volumes.
    pub fn volumes(&self) -> &Volumes {
        &self.volumes
    }

    /// Runs `f` in a transaction of its own, committed together with the others that wait (group commit), and answers once the commit
    /// is durable. An error of `f` undoes what `f` did and nothing else. `f` may be run after its caller has gone. Where the volume is
    /// full, it is refused.
    pub async fn write<T, E, F>(&self, f: F) -> Result<T, E>
    where
        T: Send + 'static,
        E: From<StoreError> + Send + 'static,
        F: FnOnce(&Tx<'_>) -> Result<T, E> + Send + 'static,
    {
        let volumes = self.volumes.clone();
        let room =
            move || volumes.room_for_state().map_err(|short| StoreError::Unavailable(short.to_string()));
        room()?;
        self.writer
            .run(Class::Rest, move |tx| {
                // The volume may have become full while this waited.
                room()?;
                f(tx)
            })
            .await
    }

    /// The same for what ends something or makes room: it is not refused where the volume is full.
    pub async fn write_upkeep<T, E, F>(&self, f: F) -> Result<T, E>
    where
        T: Send + 'static,
        E: From<StoreError> + Send + 'static,
        F: FnOnce(&Tx<'_>) -> Result<T, E> + Send + 'static,
    {
        self.writer.run(Class::Rest, f).await
    }

    /// The same for lease traffic: polls, cancellations and the calls under a lease. It goes before other commands, so that no upload
    /// and no ten thousand creations delay a heartbeat. It is not refused where the volume is full: what makes that worse asks for
    /// [`Volumes::room_for_state`] itself.
    pub async fn write_lease<T, E, F>(&self, f: F) -> Result<T, E>
    where
        T: Send + 'static,
        E: From<StoreError> + Send + 'static,
        F: FnOnce(&Tx<'_>) -> Result<T, E> + Send + 'static,
    {
        self.writer.run(Class::Lease, f).await
    }

    /// How many commands wait for the writer.
    pub fn waiting(&self) -> usize {
        self.writer.waiting()
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

    /// Bytes of the database and its write-ahead log on disk, as they were found last.
    pub fn size_bytes(&self) -> u64 {
        // Asking a dead file system would block.
        self.volumes.database_bytes().unwrap_or_else(|| volumes::database_bytes(&self.path))
    }

    /// Finishes what runs, folds the write-ahead log into the database and closes it. Later reads and writes are refused.
    pub async fn close(&self) -> Result<(), StoreError> {
        self.readers.close().await;
        self.writer.close().await
    }
}

/// Version of the SQLite library that is linked in.
pub fn sqlite_version() -> &'static str {
    rusqlite::version()
}
