//! Brings commits to the disk: the write-ahead log is synced beside the writer, not by it.
//!
//! A cloud's disk takes a millisecond or two for a sync. Inside of COMMIT (`synchronous=FULL`) nothing else happens meanwhile, and a
//! command waits for the sync before its own, too. So COMMIT only writes (`synchronous=NORMAL`), and the sync that FULL would make
//! follows at once on one of a few threads, while the writer runs the next batch. The promise stays that of FULL: a command is answered
//! after a sync that began after its COMMIT. A read that may have seen a commit waits for that commit's sync as well, so nobody is told
//! what a power failure could take back.
//!
//! That `synchronous=NORMAL` lacks this sync and nothing else is told in <https://sqlite.org/pragma.html#pragma_synchronous> and in
//! `walWriteFrames` of SQLite's `wal.c`: checkpoints and a restart of the log sync as before.

use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, mpsc};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use tokio::sync::watch;

use crate::OpenError;

/// Most syncs at a time. With one a command would wait for up to two syncs; with four for little more than its own.
const SYNCS: usize = 4;
/// What a sync is taken to last at most when commits are spaced by it: one that stalls does not hold up the next commits.
const LONGEST_SPACING: Duration = Duration::from_millis(10);

/// A commit of so many commands means that more are about to come.
pub(crate) const BUSY: usize = 8;
/// A disk whose syncs take that long is slow: there a command's time is the disk's, and not the processor's.
const SLOW: Duration = Duration::from_millis(1);
/// Least time from such a commit to the next. A commit writes some twenty pages however few commands it holds, so on a fast disk more
/// commits would cost more than they gain.
const BUSY_SPACING: Duration = Duration::from_micros(500);

/// Runs once the commit is durable; forgotten when nobody can tell whether it is.
type Durable = Box<dyn FnOnce() + Send>;

/// When the next commit may be made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Slot {
    /// Now.
    Free,
    /// At this moment: commits are spaced evenly, so that syncs do not go in waves.
    FreeAt(Instant),
    /// When a sync has ended.
    Taken,
}

/// What is on the disk. A cheap clone.
#[derive(Debug, Clone)]
pub(crate) struct Progress(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    /// Number of the last commit that was begun.
    begun: AtomicU64,
    /// Number of the last commit that is known to be durable; all before it are too.
    durable: watch::Sender<u64>,
    syncs: Mutex<Syncs>,
}

#[derive(Debug, Default)]
struct Syncs {
    running: usize,
    last_began: Option<Instant>,
    last_took: Duration,
    /// How many commands the last commit held.
    last_size: usize,
    failed: Option<String>,
}

impl Progress {
    pub(crate) fn new() -> Self {
        let (begun, durable) = (AtomicU64::new(0), watch::Sender::new(0));
        Self(Arc::new(Shared { begun, durable, syncs: Mutex::default() }))
    }

    /// Waits until everything is durable that a read which has ended can have seen.
    pub(crate) async fn durable(&self) {
        let seen = self.0.begun.load(Ordering::SeqCst);
        if *self.0.durable.borrow() < seen {
            // The sender lives as long as `self`.
            let _ = self.0.durable.subscribe().wait_for(|durable| *durable >= seen).await;
        }
    }

    /// Numbers a commit. To be called before it is made: from then on reads may see it.
    pub(crate) fn begin(&self) -> u64 {
        self.0.begun.fetch_add(1, Ordering::SeqCst) + 1
    }

    /// When the next commit may be made.
    pub(crate) fn slot(&self, now: Instant) -> Slot {
        let syncs = self.lock();
        if syncs.running >= SYNCS {
            return Slot::Taken;
        }
        let share = syncs.last_took.min(LONGEST_SPACING) / u32::try_from(SYNCS).unwrap_or(u32::MAX);
        let spacing = if syncs.last_size < BUSY { share } else { share.max(BUSY_SPACING) };
        match syncs.last_began.map(|began| began + spacing) {
            Some(free) if free > now => Slot::FreeAt(free),
            _ => Slot::Free,
        }
    }

    /// Whether the disk is slow.
    pub(crate) fn is_slow(&self) -> bool {
        self.lock().last_took >= SLOW
    }

    /// Whether all syncs have ended.
    pub(crate) fn is_idle(&self) -> bool {
        self.lock().running == 0
    }

    /// Why a sync failed. What it was to bring to the disk is there or not, and no later sync can tell
    /// (<https://lwn.net/Articles/752063/>).
    pub(crate) fn failed(&self) -> Option<String> {
        self.lock().failed.clone()
    }

    fn began(&self, now: Instant, size: usize) {
        let mut syncs = self.lock();
        syncs.last_size = size;
        syncs.running += 1;
        syncs.last_began = Some(now);
    }

    /// Notes how a sync ended, and answers whether its commit is durable.
    fn ended(&self, commit: u64, took: Duration, result: io::Result<()>) -> bool {
        let mut syncs = self.lock();
        syncs.running -= 1;
        syncs.last_took = took;
        if let Err(error) = result {
            syncs.failed.get_or_insert(error.to_string());
        }
        // After a failure none is: this sync may have missed pages whose error another one was told.
        let durable = syncs.failed.is_none();
        drop(syncs);
        if durable {
            // A sync covers all that was written before it, whatever other syncs still run.
            self.0.durable.send_if_modified(|durable| {
                let later = commit > *durable;
                *durable = commit.max(*durable);
                later
            });
        }
        durable
    }

    fn lock(&self) -> MutexGuard<'_, Syncs> {
        self.0.syncs.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

struct Sync {
    commit: u64,
    durable: Durable,
}

/// The threads that sync.
#[derive(Debug)]
pub(crate) struct Disk {
    todo: Option<mpsc::Sender<Sync>>,
    threads: Vec<JoinHandle<()>>,
    progress: Progress,
}

impl Disk {
    /// For the write-ahead log of the database at `path`, which is open: the log stays the same file until it is closed. `ring` is called
    /// after each sync, and must not block.
    pub(crate) fn open(
        path: &Path,
        progress: Progress,
        ring: impl Fn() + Clone + Send + 'static,
    ) -> Result<Self, OpenError> {
        let mut log = path.to_owned().into_os_string();
        log.push("-wal");
        let log = PathBuf::from(log);
        let cannot = |source| OpenError::Io { path: log.clone(), source };
        // What a process before this one committed, and a migration just now: reads will tell it.
        File::open(&log).and_then(|file| file.sync_all()).map_err(cannot)?;
        Self::of_file(&log, progress, ring)
    }

    fn of_file(
        log: &Path,
        progress: Progress,
        ring: impl Fn() + Clone + Send + 'static,
    ) -> Result<Self, OpenError> {
        let cannot = |source| OpenError::Io { path: log.to_owned(), source };
        let (todo, next) = mpsc::channel();
        let next = Arc::new(Mutex::new(next));
        let mut threads = Vec::new();
        for _ in 0..SYNCS {
            // One descriptor each: Linux reports a failed write to each open file once, so with one file only one of two syncs at a
            // time would hear of it.
            let file = File::open(log).map_err(cannot)?;
            let (next, progress, ring) = (Arc::clone(&next), progress.clone(), ring.clone());
            let thread = std::thread::Builder::new().name("syncer".to_owned());
            let thread = thread.spawn(move || {
                while let Some(sync) = receive(&next) {
                    let began = Instant::now();
                    let result = file.sync_data();
                    let durable = progress.ended(sync.commit, began.elapsed(), result);
                    ring();
                    if durable {
                        (sync.durable)();
                    } else {
                        // Any answer could be wrong: the callers wait until the process is gone.
                        std::mem::forget(sync.durable);
                    }
                }
            });
            threads.push(thread.map_err(cannot)?);
        }
        Ok(Self { todo: Some(todo), threads, progress })
    }

    /// Brings a commit of `size` commands, which was made, to the disk, and runs `durable` once it is there.
    pub(crate) fn sync(&self, commit: u64, size: usize, durable: Durable) {
        self.progress.began(Instant::now(), size);
        if let Some(todo) = &self.todo {
            // The threads receive as long as this lives.
            let _ = todo.send(Sync { commit, durable });
        }
    }
}

fn receive(next: &Mutex<mpsc::Receiver<Sync>>) -> Option<Sync> {
    next.lock().unwrap_or_else(PoisonError::into_inner).recv().ok()
}

impl Drop for Disk {
    fn drop(&mut self) {
        // The threads end with the last sync.
        self.todo = None;
        for thread in self.threads.drain(..) {
            if thread.join().is_err() {
                tracing::error!("a thread that syncs panicked");
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::future::Future as _;
    use std::pin::pin;
    use std::task::{Context, Waker};

    use super::*;

    fn is_durable(progress: &Progress) -> bool {
        let durable = pin!(progress.durable());
        durable.poll(&mut Context::from_waker(Waker::noop())).is_ready()
    }

    #[test]
    fn what_a_read_may_have_seen_is_durable_once_a_sync_that_began_later_has_ended() {
        let progress = Progress::new();
        assert!(is_durable(&progress), "nothing was committed");
        let (first, second) = (progress.begin(), progress.begin());
        assert!(!is_durable(&progress));
        progress.began(Instant::now(), 1);
        progress.began(Instant::now(), 1);
        // The second covers the first.
        assert!(progress.ended(second, Duration::ZERO, Ok(())));
        assert!(is_durable(&progress));
        assert!(progress.ended(first, Duration::ZERO, Ok(())));
        assert!(is_durable(&progress));
        assert!(progress.is_idle());
    }

    #[test]
    fn nothing_is_durable_after_a_sync_has_failed() {
        let progress = Progress::new();
        let (first, second) = (progress.begin(), progress.begin());
        progress.began(Instant::now(), 1);
        progress.began(Instant::now(), 1);
        assert!(!progress.ended(first, Duration::ZERO, Err(io::ErrorKind::Other.into())));
        assert!(!progress.ended(second, Duration::ZERO, Ok(())));
        assert!(!is_durable(&progress));
        assert!(progress.failed().is_some());
    }

    #[test]
    fn commits_are_spaced_by_a_share_of_a_sync_under_load_by_more_and_bounded_in_number() {
        let (progress, now) = (Progress::new(), Instant::now());
        assert_eq!(progress.slot(now), Slot::Free);
        progress.began(now, 1);
        progress.ended(progress.begin(), Duration::from_millis(4), Ok(())).then_some(()).unwrap();
        assert_eq!(progress.slot(now), Slot::FreeAt(now + Duration::from_millis(1)));
        assert_eq!(progress.slot(now + Duration::from_millis(1)), Slot::Free);
        for (size, free) in [(BUSY - 1, Slot::Free), (BUSY, Slot::FreeAt(now + BUSY_SPACING))] {
            progress.began(now, size);
            assert!(progress.ended(progress.begin(), Duration::ZERO, Ok(())));
            assert_eq!(progress.slot(now), free, "after a commit of {size}");
        }
        for _ in 0..SYNCS {
            progress.began(now, 1);
        }
        assert_eq!(progress.slot(now + Duration::from_secs(1)), Slot::Taken);
    }

    #[test]
    fn a_commit_is_answered_after_its_sync_and_never_after_one_that_failed() {
        let answered = |log: &Path| {
            let progress = Progress::new();
            let (answer, answers) = mpsc::channel();
            let disk = Disk::of_file(log, progress.clone(), || {}).unwrap();
            disk.sync(progress.begin(), 1, Box::new(move || answer.send(()).unwrap()));
            drop(disk);
            (answers.try_recv().is_ok(), progress.failed().is_some())
        };
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("log"), "frames").unwrap();
        assert_eq!(answered(&folder.path().join("log")), (true, false));
        // A device that cannot be synced.
        assert_eq!(answered(Path::new("/dev/null")), (false, true));
    }
}
