//! Keeps the write-ahead log short.
//!
//! The writer folds the log into the database by itself, every [`PAGES`] (see [`disk`](crate::disk)): nothing is written meanwhile, so
//! the log begins anew. A long read keeps it from that, and the log grows. What has grown beyond [`MOST_BYTES`] would hold up the writer
//! for a long time once the read has ended, so a thread of its own folds it, and the writer does the short rest.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{self, RecvTimeoutError};
use std::thread::{Builder, JoinHandle};
use std::time::Duration;

use crate::volumes::Volumes;
use crate::{Db, OpenError, StoreError, copy};

/// After so many pages the writer folds the log: 32 MiB.
const PAGES: u32 = 8000;
/// The same on a full volume, where the log has to use the same mebibyte again and again.
const PAGES_WHERE_FULL: u32 = 256;
/// How often that is tried on a full volume. Each time gives up a part of the reserve.
const FOLDS: u32 = 5;
/// The log is cut to this length when it begins anew, and a longer one is folded beside the writer.
pub(crate) const MOST_BYTES: u64 = 64 << 20;
/// From this length on, the log says that something keeps it from being folded: reads of this process end before.
const WORTH_A_WARNING: u64 = 4 * MOST_BYTES;
/// How often its length is looked at.
const PAUSE: Duration = Duration::from_millis(500);

/// What the writer does about the log.
#[derive(Debug)]
pub(crate) struct Turn {
    pub(crate) volumes: Volumes,
    elsewhere: Arc<AtomicBool>,
    /// What the connection was told.
    pages: Option<u32>,
}

impl Turn {
    pub(crate) fn new(volumes: Volumes, elsewhere: Arc<AtomicBool>) -> Self {
        Self { volumes, elsewhere, pages: None }
    }

    /// Tells the write connection after how many pages it folds the log, if that has changed.
    pub(crate) fn take(&mut self, db: &Db) {
        let pages = if self.volumes.is_full() {
            PAGES_WHERE_FULL.min(self.volumes.log_pages())
        } else if self.elsewhere.load(Ordering::Relaxed) {
            0
        } else {
            PAGES.min(self.volumes.log_pages())
        };
        if self.pages == Some(pages) {
            return;
        }
        match db.batch(&format!("PRAGMA wal_autocheckpoint = {pages}")) {
            Ok(()) => self.pages = Some(pages),
            Err(error) => tracing::warn!(%error, "could not say when the write-ahead log is to be folded"),
        }
    }

    /// A batch was refused: on a full volume the log is folded, and begins anew in the room that it has. That may take room by itself, for pages
    /// that the database does not have yet.
    pub(crate) fn refused(&self, db: &Db) {
        if !self.volumes.is_full() {
            return;
        }
        for _ in 0..FOLDS {
            let Err(error) = db.checkpoint_passive() else { return };
            // If that was for want of room too, there is more now.
            if !self.volumes.met(db) {
                tracing::warn!(%error, "could not fold the write-ahead log on a full disk");
                return;
            }
        }
        tracing::warn!("there is no room to fold the write-ahead log on a full disk");
    }
}

/// Folds a long log beside the writer, until it is dropped.
#[derive(Debug)]
pub(crate) struct Folder {
    /// Whether it is at it, and the writer is not to be.
    pub(crate) elsewhere: Arc<AtomicBool>,
    stop: Option<mpsc::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Folder {
    /// Of the database at `path`, which is open.
    pub(crate) fn start(path: &Path, volumes: Volumes, most_bytes: u64) -> Result<Self, OpenError> {
        let elsewhere = Arc::new(AtomicBool::new(false));
        let (stop, stopped) = mpsc::channel();
        let mut fold = Fold {
            path: path.to_owned(),
            log: copy::with_suffix(path, "-wal"),
            db: None,
            elsewhere: Arc::clone(&elsewhere),
            volumes,
            most_bytes,
            warned: false,
        };
        let thread = Builder::new().name("folder".to_owned()).spawn(move || {
            while stopped.recv_timeout(PAUSE) == Err(RecvTimeoutError::Timeout) {
                fold.look();
            }
        });
        let cannot = |source| OpenError::Io { path: path.to_owned(), source };
        Ok(Self { elsewhere, stop: Some(stop), thread: Some(thread.map_err(cannot)?) })
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        self.stop = None;
        if let Some(thread) = self.thread.take()
            && thread.join().is_err()
        {
            tracing::error!("the thread that folds the write-ahead log panicked");
        }
    }
}

struct Fold {
    path: PathBuf,
    log: PathBuf,
    /// Opened when it is needed for the first time: a start pays nothing for it.
    db: Option<Db>,
    elsewhere: Arc<AtomicBool>,
    volumes: Volumes,
    most_bytes: u64,
    warned: bool,
}

impl Fold {
    fn look(&mut self) {
        let bytes = std::fs::metadata(&self.log).map_or(0, |log| log.len());
        if bytes <= self.most_bytes {
            self.warned = false;
            self.elsewhere.store(false, Ordering::Relaxed);
            return;
        }
        if bytes > WORTH_A_WARNING && !std::mem::replace(&mut self.warned, true) {
            tracing::warn!(
                bytes,
                "the write-ahead log grows: another program reads the database for a long time"
            );
        }
        let left = self.fold().unwrap_or_else(|error| {
            tracing::warn!(%error, "could not fold the write-ahead log beside the writer");
            0
        });
        self.elsewhere.store(left > PAGES, Ordering::Relaxed);
    }

    /// Folds what no read needs, and answers how many pages are left.
    fn fold(&mut self) -> Result<u32, StoreError> {
        let db = match &mut self.db {
            Some(db) => db,
            none => none.insert(
                Db::open_writer(&self.path).map_err(|error| StoreError::Unavailable(error.to_string()))?,
            ),
        };
        self.elsewhere.store(true, Ordering::Relaxed);
        let folded = db.checkpoint_passive();
        if let Some(broken) = db.take_broken() {
            self.volumes.met_broken(broken);
        }
        folded
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A write connection that folds nothing by itself, and its log.
    fn written(folder: &Path, rows: u32) -> (Db, PathBuf) {
        let path = folder.join("m.db");
        let db = Db::open_writer(&path).unwrap();
        db.batch("PRAGMA wal_autocheckpoint = 0; CREATE TABLE t (n)").unwrap();
        fill(&db, rows);
        (db, path)
    }

    fn fill(db: &Db, rows: u32) {
        for _ in 0..rows {
            db.batch("INSERT INTO t VALUES (zeroblob(4000))").unwrap();
        }
    }

    #[test]
    fn a_log_that_a_long_read_has_let_grow_is_folded_beside_the_writer_and_begins_anew() {
        let folder = tempfile::tempdir().unwrap();
        let (db, path) = written(folder.path(), 100);
        let reader = Db::open_reader(&path).unwrap();
        reader.batch("BEGIN; SELECT * FROM t").unwrap();
        fill(&db, 300);
        let length = |path: &Path| std::fs::metadata(path).unwrap().len();
        let log = copy::with_suffix(&path, "-wal");
        let grown = length(&log);

        let thread = Folder::start(&path, Volumes::unwatched(&path), 1 << 20).unwrap();
        std::thread::sleep(2 * PAUSE);
        assert!(length(&path) < 300 * 4096, "the read still needs a part of it");
        drop(reader);
        std::thread::sleep(2 * PAUSE);
        assert!(length(&path) >= 400 * 4096, "all of it is folded");
        fill(&db, 10);
        assert_eq!(length(&log), grown, "it begins anew");
        drop(thread);
    }

    #[test]
    fn the_writer_folds_often_on_a_full_volume_and_not_at_all_while_it_is_done_beside_it() {
        let folder = tempfile::tempdir().unwrap();
        let (db, path) = written(folder.path(), 1);
        let elsewhere = Arc::new(AtomicBool::new(false));
        let mut turn = Turn::new(Volumes::unwatched(&path), Arc::clone(&elsewhere));
        let told = |turn: &mut Turn| {
            turn.take(&db);
            db.conn.query_row("PRAGMA wal_autocheckpoint", (), |row| row.get::<_, u32>(0)).unwrap()
        };
        assert_eq!(told(&mut turn), PAGES);
        elsewhere.store(true, Ordering::Relaxed);
        assert_eq!(told(&mut turn), 0);
        turn.volumes = Volumes::full(&path);
        assert_eq!(told(&mut turn), PAGES_WHERE_FULL);
    }
}
