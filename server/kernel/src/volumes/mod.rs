//! The volumes that the database and the objects are on: their room, and whether they still read and write.
//!
//! [`watch`] tries them on threads of its own, with a deadline, because a dead file system blocks whoever touches it. What it finds is
//! here, in memory: those who ask never wait.
//!
//! | what is found | what follows |
//! |---|---|
//! | less than 10 % free | a warning in the log |
//! | less than 3 % free | uploads, artifacts and logs are refused |
//! | less than 1 % free, or a write met a full disk | all but lease traffic and what makes room is refused; the [`reserve`] is given up |
//! | a write, a sync or a read fails, or does not end | everything is refused |
//! | pages that are not what was written | the process ends |

pub(crate) mod probe;
pub(crate) mod reserve;
mod space;
mod watch;

use std::fmt;
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicU8, AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::{Duration, Instant};

use tokio::sync::watch as channel;

pub use space::{Holds, Space};
pub use watch::Watch;

use crate::db::Broken;
use crate::{Db, copy};
use reserve::Reserve;
use space::Level;

/// How long a read that failed counts, although probes succeed since: they try other pages.
const READ_FAILURE_COUNTS: Duration = Duration::from_secs(10);

/// There is not enough room for this.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct NoRoom(pub Space);

/// Calls the process to its end.
type Fatal = Box<dyn Fn(&str) + Send + Sync>;

/// What is known of the volumes. A cheap clone.
#[derive(Debug, Clone)]
pub struct Volumes(Arc<Shared>);

struct Shared {
    reserve: Reserve,
    /// Nothing is refused where nobody would find out that there is room again.
    watched: AtomicBool,
    level: AtomicU8,
    /// A write met a full disk.
    met_full: AtomicBool,
    database_bytes: AtomicU64,
    /// How many pages of the write-ahead log may wait.
    log_pages: AtomicU32,
    known: Mutex<Known>,
    trouble: channel::Sender<Option<Arc<str>>>,
    fatal: OnceLock<Fatal>,
}

#[derive(Debug, Default)]
struct Known {
    spaces: Vec<Space>,
    /// The volume that allows no more.
    short: Option<Space>,
    read_failed: Option<(Instant, Arc<str>)>,
}

impl fmt::Debug for Shared {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Volumes").field("known", &*self.lock()).finish_non_exhaustive()
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, Known> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Volumes {
    /// Of the database at `path`. Nothing is known, and nothing refused, until they are watched.
    pub(crate) fn unwatched(path: &Path) -> Self {
        Self(Arc::new(Shared {
            reserve: Reserve::of(path),
            watched: AtomicBool::new(false),
            level: AtomicU8::new(Level::Room as u8),
            met_full: AtomicBool::new(false),
            database_bytes: AtomicU64::new(0),
            log_pages: AtomicU32::new(u32::MAX),
            known: Mutex::default(),
            trouble: channel::Sender::new(None),
            fatal: OnceLock::new(),
        }))
    }

    /// One that is full.
    #[cfg(test)]
    pub(crate) fn full(path: &Path) -> Self {
        let volumes = Self::unwatched(path);
        volumes.0.level.store(Level::Full as u8, Ordering::SeqCst);
        volumes
    }

    /// Whom to call when only a restart can help.
    pub(crate) fn end_process_with(&self, fatal: impl Fn(&str) + Send + Sync + 'static) {
        let _ = self.0.fatal.set(Box::new(fatal));
    }

    /// Refuses state where the volume of the database is full.
    pub fn room_for_state(&self) -> Result<(), NoRoom> {
        self.room(Level::Nearly)
    }

    /// Refuses uploads and artifacts where a volume is nearly full.
    pub fn room_for_objects(&self) -> Result<(), NoRoom> {
        self.room(Level::Room)
    }

    /// Refuses logs where the volume of the database, which they go to, is nearly full.
    pub fn room_for_logs(&self) -> Result<(), NoRoom> {
        self.room(Level::Room).or_else(|short| match short.0.holds {
            Holds::Database if short.0.has_room_for_logs() => Ok(()),
            Holds::Database => Err(short),
            Holds::Objects => Ok(()),
        })
    }

    /// How many pages of the write-ahead log may wait to be folded, so that the reserve has room for them.
    pub(crate) fn log_pages(&self) -> u32 {
        self.0.log_pages.load(Ordering::Relaxed)
    }

    /// Whether only lease traffic and what makes room is written.
    pub(crate) fn is_full(&self) -> bool {
        self.0.level.load(Ordering::Relaxed) == Level::Full as u8
    }

    fn room(&self, at_most: Level) -> Result<(), NoRoom> {
        // The usual case costs one load.
        if self.0.level.load(Ordering::Relaxed) <= at_most as u8 {
            return Ok(());
        }
        let known = self.0.lock();
        match known.short.or(known.spaces.first().copied()) {
            Some(short) => Err(NoRoom(short)),
            None => Ok(()),
        }
    }

    /// Why nothing can be read or written, if that is so.
    pub fn trouble(&self) -> Option<Arc<str>> {
        self.0.trouble.borrow().clone()
    }

    /// Resolves once nothing can be read or written, with the reason.
    pub async fn in_trouble(&self) -> Arc<str> {
        let mut trouble = self.0.trouble.subscribe();
        loop {
            if let Some(reason) = trouble.borrow_and_update().clone() {
                return reason;
            }
            if trouble.changed().await.is_err() {
                // The sender lives as long as `self`.
                std::future::pending::<()>().await;
            }
        }
    }

    /// The volumes' room, as it was found last.
    pub fn spaces(&self) -> Vec<Space> {
        self.0.lock().spaces.clone()
    }

    /// Bytes of the database and its write-ahead log, as they were found last; none: nobody has looked yet.
    pub(crate) fn database_bytes(&self) -> Option<u64> {
        Some(self.0.database_bytes.load(Ordering::Relaxed)).filter(|bytes| *bytes > 0)
    }

    /// Notes what the statements of the write connection met, and answers whether that was a full disk.
    pub(crate) fn met(&self, db: &Db) -> bool {
        if let Some(broken) = db.take_broken() {
            self.met_broken(broken);
        }
        let full = db.take_full();
        if full {
            self.met_full();
        }
        full
    }

    /// A write met a full disk: gives up a part of the reserve for the lease traffic, and refuses the rest.
    pub(crate) fn met_full(&self) {
        let shared = &self.0;
        if !shared.watched.load(Ordering::Relaxed) {
            return;
        }
        shared.met_full.store(true, Ordering::SeqCst);
        let space = shared.lock().spaces.first().copied();
        if shared.level.swap(Level::Full as u8, Ordering::SeqCst) != Level::Full as u8 {
            let volume = space.map(tracing::field::display);
            tracing::error!(volume, "the disk is full: only lease traffic is written until there is room");
        }
        let total = space.map_or(u64::MAX, |space| space.total);
        match shared.reserve.give_up(total) {
            Ok(0) => tracing::error!("the reserve for lease traffic is used up: make room at once"),
            Ok(bytes) => tracing::warn!(bytes, "gave up a part of the reserve for lease traffic"),
            Err(error) => tracing::error!(%error, "could not give up the reserve for lease traffic"),
        }
    }

    /// A statement met a broken disk.
    pub(crate) fn met_broken(&self, broken: Broken) {
        match broken {
            Broken::Database(reason) => {
                if let Some(fatal) = self.0.fatal.get() {
                    fatal(&format!("the database is damaged: {reason}"));
                }
            }
            Broken::Disk(reason) if self.0.watched.load(Ordering::Relaxed) => {
                let reason: Arc<str> = format!("the database cannot be read or written: {reason}").into();
                self.0.lock().read_failed = Some((Instant::now(), Arc::clone(&reason)));
                self.set_trouble(Some(reason));
            }
            Broken::Disk(_) => {}
        }
    }

    /// What the watch found: trouble, or none.
    fn found(&self, trouble: Option<Arc<str>>) {
        let earlier = {
            let mut known = self.0.lock();
            known.read_failed = known.read_failed.take().filter(|(at, _)| at.elapsed() < READ_FAILURE_COUNTS);
            known.read_failed.as_ref().map(|(_, reason)| Arc::clone(reason))
        };
        self.set_trouble(trouble.or(earlier));
    }

    fn set_trouble(&self, trouble: Option<Arc<str>>) {
        self.0.trouble.send_if_modified(|before| {
            if *before == trouble {
                return false;
            }
            if let Some(reason) = &trouble {
                tracing::error!(reason = &**reason, "every request is refused until this ends");
            } else {
                tracing::info!("the disk reads and writes again");
            }
            *before = trouble;
            true
        });
    }
}

/// Bytes of the database at `path` and its write-ahead log.
pub(crate) fn database_bytes(path: &Path) -> u64 {
    let size = |path: &Path| std::fs::metadata(path).map_or(0, |file| file.len());
    size(path) + size(&copy::with_suffix(path, "-wal"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_nobody_watches_refuses_nothing() {
        let volumes = Volumes::unwatched(Path::new("m.db"));
        volumes.met_full();
        volumes.met_broken(Broken::Disk("EIO".to_owned()));
        assert!(volumes.room_for_objects().is_ok() && volumes.room_for_state().is_ok());
        assert_eq!(volumes.trouble(), None);
    }

    #[test]
    fn a_full_volume_of_objects_refuses_no_logs() {
        let volumes = Volumes::full(Path::new("m.db"));
        for (holds, logs) in [(Holds::Database, false), (Holds::Objects, true)] {
            volumes.0.lock().short = Some(Space { holds, free: 0, owed: 0, total: 1, reusable: 0 });
            assert_eq!((volumes.room_for_objects().is_ok(), volumes.room_for_logs().is_ok()), (false, logs));
        }
    }

    #[test]
    fn a_read_that_failed_counts_although_the_next_probe_succeeds() {
        let volumes = Volumes::unwatched(Path::new("m.db"));
        volumes.0.watched.store(true, Ordering::Relaxed);
        volumes.met_broken(Broken::Disk("EIO".to_owned()));
        volumes.found(None);
        assert!(volumes.trouble().is_some_and(|reason| reason.contains("EIO")));
        volumes.found(Some("worse".into()));
        assert_eq!(volumes.trouble().as_deref(), Some("worse"));
    }
}
