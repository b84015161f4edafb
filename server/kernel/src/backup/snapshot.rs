//! A consistent copy of a database that is in use.
//!
//! A read transaction keeps SQLite from beginning its write-ahead log anew, so that every frame of the log stays where it is. Meanwhile
//! the bytes of the database and then those of the log are copied as they are. What the checkpointer changes in the database is in the
//! log too, and a frame that is cut or not committed does not count, so the copy is a state that the database had. This reads at the
//! speed of the disk. `VACUUM INTO` builds the database anew, row by row, while the log grows, and SQLite's backup API begins again whenever
//! another connection writes.

use std::fs::File;
use std::os::unix::fs::{FileExt as _, MetadataExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use nix::fcntl::Flock;
use nix::sys::statvfs::statvfs;
use rusqlite::{Connection, OpenFlags};
use tokio_util::sync::CancellationToken;

use super::{BackupError, Step, Tell};
use crate::db::Lock;
use crate::identity::{self, Identity};
use crate::{Db, OpenError, StoreError, copy};

/// Bytes read at a time.
const PIECE: usize = 1 << 20;
/// After so many bytes they are put on disk: the syncs of the server's commits must not wait for more.
const SYNC_EVERY: u64 = 8 << 20;
/// How long the read transaction may be open.
const LONGEST: Duration = Duration::from_mins(10);
/// How often the log is copied until it did not begin anew meanwhile. It can do so once.
const LOG_TRIES: usize = 4;
/// On the volumes of the server so many parts in a hundred stay free, or so many bytes where that is less: above what makes the server
/// refuse uploads.
const LEFT_FREE: (u64, u64) = (5, 3 << 29);

/// The database that is backed up.
#[derive(Debug, Clone)]
pub struct Source {
    path: PathBuf,
    held: Held,
}

/// How its file is read past SQLite. A descriptor must outlive the connections of its process: closing it gives up their locks.
#[derive(Debug, Clone)]
enum Held {
    /// This process serves it.
    Served(Arc<Flock<File>>),
    /// Another process serves it.
    Beside(Arc<File>),
    /// Nobody serves it, nor can meanwhile.
    Alone(Arc<Lock>),
}

impl Held {
    fn file(&self) -> &File {
        match self {
            Self::Served(file) => file,
            Self::Beside(file) => file,
            Self::Alone(lock) => lock.as_file(),
        }
    }
}

impl Source {
    pub(crate) fn served(path: &Path, file: Arc<Flock<File>>) -> Self {
        Self { path: path.to_owned(), held: Held::Served(file) }
    }

    /// A database by its path, whether a server runs on it or not.
    pub fn at(path: &Path) -> Result<Self, BackupError> {
        if !path.exists() {
            return Err(BackupError::NoDatabase(path.to_owned()));
        }
        let stranger = |source| OpenError::Stranger { path: path.to_owned(), source };
        let held = match Lock::take(path) {
            Ok(lock) => Held::Alone(Arc::new(lock)),
            Err(OpenError::InUse(_)) => return Self::beside(path),
            Err(error) => return Err(error.into()),
        };
        if identity::identify(path).map_err(stranger)? == Identity::Empty {
            return Err(BackupError::NoDatabase(path.to_owned()));
        }
        Ok(Self { path: path.to_owned(), held })
    }

    /// A database that a server runs on, and has looked at already.
    pub(super) fn beside(path: &Path) -> Result<Self, BackupError> {
        let file = File::open(path).map_err(BackupError::file("opening", path))?;
        Ok(Self { path: path.to_owned(), held: Held::Beside(Arc::new(file)) })
    }

    /// Runs `f` on a snapshot of its own.
    pub fn read<T>(&self, f: impl FnOnce(&Db) -> Result<T, StoreError>) -> Result<T, BackupError> {
        let db = self.open()?;
        db.batch("BEGIN")?;
        Ok(f(&db)?)
    }

    fn open(&self) -> Result<Db, OpenError> {
        match self.held {
            // What the last stop left is folded, and nothing stays beside it.
            Held::Alone(_) => Db::open_writer(&self.path),
            Held::Served(_) | Held::Beside(_) => Db::open_reader(&self.path),
        }
    }

    /// Copies a state of the database to `to`, in one file. Blocks.
    pub(super) fn snapshot(
        &self,
        to: &Path,
        stop: &CancellationToken,
        tell: &Tell,
    ) -> Result<(), BackupError> {
        let log = copy::with_suffix(to, "-wal");
        for left in ["", "-wal", "-shm", "-journal"] {
            let left = copy::with_suffix(to, left);
            copy::remove(&left).map_err(BackupError::file("removing", &left))?;
        }
        let db = self.open()?;
        db.batch("BEGIN")?;
        // The transaction begins with its first read.
        db.ping()?;
        let began = Instant::now();
        let pace = Pace { to, until: began + LONGEST, stop, tell };
        pace.copy(self.held.file(), to)?;
        self.copy_log(&pace, &log)?;
        drop(db);
        tell.tell(Step::Check);
        into_one_file(to)
    }

    /// Copies the log. Where all of it was in the database when the transaction began, it may begin anew once, and a part of the former
    /// log would take pages of the copy back to what they were. Its header is written first then, so it tells.
    fn copy_log(&self, pace: &Pace<'_>, to: &Path) -> Result<(), BackupError> {
        let path = copy::with_suffix(&self.path, "-wal");
        let reading = || BackupError::file("reading", &path);
        for _ in 0..LOG_TRIES {
            copy::remove(to).map_err(BackupError::file("removing", to))?;
            let from = match File::open(&path) {
                Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(()),
                opened => opened.map_err(reading())?,
            };
            let before = log_header(&from).map_err(reading())?;
            pace.copy(&from, to)?;
            let copied = File::open(to).and_then(|copied| log_header(&copied)).map_err(reading())?;
            if before == copied && before == log_header(&from).map_err(reading())? {
                return Ok(());
            }
        }
        let source = std::io::Error::other("it was begun anew again and again");
        Err(reading()(source))
    }

    /// Whether there is room for the copy. More than that has to stay free on a volume of the server: that of the database, or that of the
    /// objects, in whose folder `staging` is.
    pub(super) fn check_room(&self, to: &Path, staging: &Path) -> Result<(), BackupError> {
        let folder = to.parent().unwrap_or(to);
        let of = |path: &Path| std::fs::metadata(path).map_err(BackupError::file("looking at", path));
        let volume =
            statvfs(folder).map_err(|errno| BackupError::file("looking at", folder)(errno.into()))?;
        let log = std::fs::metadata(copy::with_suffix(&self.path, "-wal")).map_or(0, |log| log.len());
        let (database, there) = (of(&self.path)?, of(folder)?.dev());
        let is_servers = there == database.dev() || there == of(staging)?.dev();
        let size = volume.blocks().saturating_mul(volume.fragment_size());
        let free = volume.blocks_available().saturating_mul(volume.fragment_size());
        let needed = needed(database.len(), log, is_servers.then_some(size));
        if free >= needed {
            Ok(())
        } else if folder == staging {
            Err(BackupError::NoRoomToStage { folder: folder.to_owned(), free, needed })
        } else {
            Err(BackupError::NoRoom { folder: folder.to_owned(), free, needed })
        }
    }
}

/// How much has to be free for a copy of a database with such a log, on a volume of the server of such a size; none: on another volume.
fn needed(database: u64, log: u64, size: Option<u64>) -> u64 {
    let (percent, at_most) = LEFT_FREE;
    // While the log is folded, the copy has grown by it, and the log is still there.
    database + 2 * log + size.map_or(0, |size| (size / 100 * percent).min(at_most))
}

/// How the bytes are copied.
struct Pace<'a> {
    to: &'a Path,
    until: Instant,
    stop: &'a CancellationToken,
    tell: &'a Tell,
}

impl Pace<'_> {
    fn copy(&self, from: &File, to: &Path) -> Result<(), BackupError> {
        use std::io::Write as _;
        let writing = || BackupError::file("writing", to);
        let mut into = File::options().write(true).create_new(true).mode(0o600).open(to).map_err(writing())?;
        let of = from.metadata().map_err(writing())?.len();
        let (mut piece, mut done, mut synced) = (vec![0; PIECE], 0_u64, 0);
        loop {
            if self.stop.is_cancelled() {
                return Err(BackupError::Stopped);
            }
            if Instant::now() >= self.until {
                let minutes = LONGEST.as_secs() / 60;
                return Err(BackupError::TooSlow { to: self.to.to_owned(), minutes });
            }
            let read = from.read_at(&mut piece, done).map_err(BackupError::file("reading", to))?;
            if read == 0 {
                break;
            }
            into.write_all(&piece[..read]).map_err(writing())?;
            done += read as u64;
            if done - synced >= SYNC_EVERY {
                into.sync_data().map_err(writing())?;
                synced = done;
            }
            self.tell.tell(Step::Database { done, of: of.max(done) });
        }
        into.sync_all().map_err(writing())
    }
}

/// The header of a write-ahead log (<https://sqlite.org/fileformat2.html#the_write_ahead_log>), or what there is of it.
fn log_header(log: &File) -> std::io::Result<Vec<u8>> {
    let mut header = vec![0; 32];
    let read = log.read_at(&mut header, 0)?;
    header.truncate(read);
    Ok(header)
}

/// Folds the log of a copy into it, so that one file is left. Nobody else knows the copy, and its file system may not have locks.
fn into_one_file(path: &Path) -> Result<(), BackupError> {
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let conn = Connection::open_with_flags_and_vfs(path, flags, c"unix-none")?;
    conn.execute_batch("PRAGMA locking_mode = EXCLUSIVE; PRAGMA synchronous = FULL;")?;
    let mode: String = conn.query_row("PRAGMA journal_mode = DELETE", (), |row| row.get(0))?;
    drop(conn);
    let log = copy::with_suffix(path, "-wal");
    if mode != "delete" || log.exists() {
        return Err(BackupError::File {
            doing: "folding the log into",
            path: path.to_owned(),
            source: std::io::Error::other(format!("the journal mode is {mode}")),
        });
    }
    File::open(path).and_then(|file| file.sync_all()).map_err(BackupError::file("syncing", path))
}

/// Opens a finished copy, which nobody changes.
pub(super) fn open_copy(path: &Path) -> Result<Db, BackupError> {
    let db = Db::of(identity::open_untouched(path)?);
    db.batch("BEGIN")?;
    Ok(db)
}

#[cfg(test)]
mod tests {
    use super::*;

    const MIB: u64 = 1 << 20;

    #[test]
    fn a_copy_leaves_the_volumes_of_the_server_what_they_need() {
        assert_eq!(needed(100 * MIB, 4 * MIB, None), 108 * MIB);
        assert_eq!(needed(100 * MIB, 0, Some(1000 * MIB)), 150 * MIB);
        assert_eq!(needed(100 * MIB, 0, Some(1 << 50)), 100 * MIB + (3 << 29));
    }

    #[test]
    fn a_volume_without_room_is_named_before_anything_is_written() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("minitower.db");
        // It says that it is larger than any disk, and has no blocks.
        File::create(&path).unwrap().set_len(1 << 42).unwrap();
        let source = Source::beside(&path).unwrap();
        let (staging, elsewhere) = (folder.path().join("backup"), folder.path().join("to"));
        for folder in [&staging, &elsewhere] {
            std::fs::create_dir(folder).unwrap();
        }
        let refused = |to: &Path| source.check_room(&to.join("minitower.db"), &staging).unwrap_err();
        let told = refused(&staging).to_string();
        assert!(matches!(refused(&staging), BackupError::NoRoomToStage { .. }), "{told}");
        assert!(told.contains("MINITOWER_OBJECTS_DIR") && told.contains("bytes free"), "{told}");
        assert!(matches!(refused(&elsewhere), BackupError::NoRoom { .. }));
        assert_eq!(std::fs::read_dir(&staging).unwrap().count(), 0);
    }
}
