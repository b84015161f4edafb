//! The one writer: group commit.
//!
//! A thread owns the only write connection. It takes the commands that wait, runs each in a savepoint of one `BEGIN IMMEDIATE`, commits
//! once, and tells the subscribers what was committed. The commands are answered when the [disk](crate::disk) has the commit: throughput
//! grows with load, and every answer is durable. Meanwhile the thread runs the next batch. It is a thread and not a task because SQLite
//! blocks.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use tokio::sync::oneshot;

use crate::acting::{self, Doing};
use crate::disk::{BUSY, Disk, Progress, Slot};
use crate::error::panic_text;
use crate::events::{Event, Subscribers};
use crate::feed::Feed;
use crate::log::Turn;
use crate::waiting::{Class, Look, Refused, Waiting};
use crate::{Db, OpenError, StoreError, Tx};

/// Most commands in one commit: bounds how long the first of them waits for the last.
const MAX_BATCH: usize = 256;
/// How long a batch takes further commands.
const LONGEST_BATCH: Duration = Duration::from_millis(20);
/// How long it takes commands that are not lease traffic.
const LONGEST_REST: Duration = Duration::from_millis(10);

/// Called by the writer's thread; must not block.
pub struct Hooks {
    /// How many commands a commit held.
    pub batch: Box<dyn Fn(usize) + Send>,
    /// A commit with an unknown outcome, or the writer's own death: the process has to end, and its restart finds the truth.
    pub fatal: Box<dyn Fn(&str) + Send>,
}

impl std::fmt::Debug for Hooks {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Hooks")
    }
}

/// A command: run with a transaction, or refused without one.
type Job = Box<dyn FnOnce(Result<&Tx<'_>, StoreError>) -> Ran + Send>;

/// Tells a command's caller how it ended, once the commit is known to have happened or not.
type Answer = Box<dyn FnOnce(Result<(), StoreError>) + Send>;

/// A command that was run.
struct Ran {
    /// Whether its changes are to be kept.
    keep: bool,
    answer: Answer,
}

/// What became of a batch.
#[derive(Debug, PartialEq, Eq)]
enum Committed {
    /// It is durable.
    Yes,
    /// Nothing of it was kept.
    No(String),
    /// Only a restart can tell.
    Unknown,
}

#[derive(Debug)]
pub(crate) struct Writer {
    waiting: Arc<Waiting<Job>>,
    thread: Mutex<Option<std::thread::JoinHandle<()>>>,
    /// How the last folding of the write-ahead log went; taken by whoever closes.
    closed: Mutex<Option<oneshot::Receiver<Result<(), StoreError>>>>,
}

impl Writer {
    /// Starts the thread on the open database at `path`. `progress` follows what is on the disk.
    pub(crate) fn spawn(
        db: Db,
        path: &Path,
        progress: Progress,
        turn: Turn,
        mut subscribers: Subscribers,
        hooks: Hooks,
    ) -> Result<Self, OpenError> {
        let waiting = Arc::new(Waiting::new());
        let ring = {
            let waiting = Arc::clone(&waiting);
            move || waiting.ring()
        };
        let disk = Disk::open(path, progress.clone(), ring)?;
        let feed = Feed::start(subscribers.take_later())?;
        let (reply, closed) = oneshot::channel();
        let thread = std::thread::Builder::new()
            .name("writer".to_owned())
            .spawn({
                let waiting = Arc::clone(&waiting);
                move || {
                    let died = catch_unwind(AssertUnwindSafe(|| {
                        let (subscribers, hooks, waiting) = (&subscribers, &hooks, &*waiting);
                        Loop { db, subscribers, hooks, waiting, disk, feed, progress, turn }.run(reply);
                    }));
                    waiting.abandon();
                    if let Err(panic) = died {
                        (hooks.fatal)(&format!("the writer died: {}", panic_text(panic.as_ref())));
                    }
                }
            })
            .map_err(|source| OpenError::Io { path: "writer thread".into(), source })?;
        Ok(Self { waiting, thread: Mutex::new(Some(thread)), closed: Mutex::new(Some(closed)) })
    }

    /// How many commands wait.
    pub(crate) fn waiting(&self) -> usize {
        self.waiting.len()
    }

    pub(crate) async fn run<T, E, F>(&self, class: Class, f: F) -> Result<T, E>
    where
        T: Send + 'static,
        E: From<StoreError> + Send + 'static,
        F: FnOnce(&Tx<'_>) -> Result<T, E> + Send + 'static,
    {
        let (reply, answer) = oneshot::channel();
        let actor = acting::current();
        let job: Job = Box::new(move |tx| {
            let _doing = Doing::of(actor);
            let result = match tx {
                Ok(tx) => match catch_unwind(AssertUnwindSafe(|| f(tx))) {
                    Ok(result) => result,
                    Err(panic) => {
                        tracing::error!(panic = panic_text(panic.as_ref()), "a command panicked");
                        Err(StoreError::Panicked.into())
                    }
                },
                Err(refused) => Err(refused.into()),
            };
            Ran {
                keep: result.is_ok(),
                answer: Box::new(move |committed| {
                    // A caller that has gone does not hear it; what was committed is committed.
                    let _ = reply.send(match committed {
                        Ok(()) => result,
                        // A refusal that rested on what the batch saw is void with the batch.
                        Err(error) => Err(error.into()),
                    });
                }),
            }
        });
        let closed = || StoreError::Unavailable("the server is stopping".to_owned());
        self.waiting.push(class, job).await.map_err(|refused| match refused {
            Refused::Full => StoreError::Unavailable("too many commands are waiting".to_owned()),
            Refused::Closed => closed(),
        })?;
        answer.await.map_err(|_| closed())?
    }

    pub(crate) async fn close(&self) -> Result<(), StoreError> {
        self.waiting.close();
        let closed = self.closed.lock().unwrap_or_else(PoisonError::into_inner).take();
        match closed {
            Some(closed) => closed.await.unwrap_or(Ok(())),
            None => Ok(()),
        }
    }
}

impl Drop for Writer {
    fn drop(&mut self) {
        self.waiting.close();
        let thread = self.thread.lock().map(|mut t| t.take()).unwrap_or_default();
        if let Some(thread) = thread
            && thread.join().is_err()
        {
            tracing::error!("the writer's thread panicked");
        }
    }
}

struct Loop<'a> {
    db: Db,
    subscribers: &'a Subscribers,
    hooks: &'a Hooks,
    waiting: &'a Waiting<Job>,
    disk: Disk,
    feed: Feed,
    progress: Progress,
    turn: Turn,
}

/// Why the writer wakes up.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Woken {
    Work,
    Closed,
    SyncFailed,
}

/// Commands of one transaction.
struct Batch {
    began: Instant,
    /// How many commands waited then. Who comes later has the next commit, unless this one has to wait for the disk.
    expected: usize,
    answers: Vec<Answer>,
    events: Vec<Event>,
    /// Why the transaction is lost.
    broken: Option<String>,
}

impl Loop<'_> {
    fn run(mut self, closed: oneshot::Sender<Result<(), StoreError>>) {
        loop {
            let woken = self.waiting.block(|waiting, closed| match (waiting, closed) {
                _ if self.progress.failed().is_some() => Look::GoOn(Woken::SyncFailed),
                (0, true) => Look::GoOn(Woken::Closed),
                (0, false) => Look::Sleep,
                _ => Look::GoOn(Woken::Work),
            });
            match woken {
                Woken::Work if self.batch_in_turn() != Committed::Unknown => {}
                Woken::Work => return,
                Woken::Closed => break,
                Woken::SyncFailed => return self.sync_failed(),
            }
        }
        self.waiting.block(|_, _| if self.progress.is_idle() { Look::GoOn(()) } else { Look::Sleep });
        if self.progress.failed().is_some() {
            return self.sync_failed();
        }
        let folded = self.db.checkpoint_whole();
        if let Err(error) = &folded {
            tracing::warn!(%error, "could not fold the write-ahead log into the database");
        }
        // Every commit is in the log, and synced: it is folded when there is room again.
        let folded = if self.db.take_full() { Ok(()) } else { folded };
        // The last connection takes the log's file with it.
        drop(self.db);
        // Nobody listens when the store was dropped.
        let _ = closed.send(folded);
    }

    fn sync_failed(&self) {
        let reason = self.progress.failed().unwrap_or_default();
        (self.hooks.fatal)(&format!(
            "a commit could not be synced, and its outcome is unknown: {reason}; restart to find out"
        ));
    }

    /// The next command of a batch; none: it is time to commit.
    fn next(&self, batch: &Batch) -> Option<Job> {
        let taken = batch.answers.len();
        if taken >= MAX_BATCH || batch.broken.is_some() {
            return None;
        }
        // On a slow disk those who wait longest are the ones who came first: they need not wait for all who came until now.
        let enough = taken >= batch.expected || (taken >= BUSY && self.progress.is_slow());
        if enough && !self.wait_for_more(batch) {
            return None;
        }
        let elapsed = batch.began.elapsed();
        if elapsed >= LONGEST_BATCH {
            return None;
        }
        self.waiting.take(elapsed < LONGEST_REST)
    }

    /// Waits for another command as long as the disk does not take the commit. False: it takes it, or the batch has lasted long enough.
    fn wait_for_more(&self, batch: &Batch) -> bool {
        self.waiting.block(|waiting, closed| match self.progress.slot(Instant::now()) {
            Slot::Free => Look::GoOn(false),
            _ if closed || self.progress.failed().is_some() => Look::GoOn(false),
            _ if waiting > 0 => Look::GoOn(batch.began.elapsed() < LONGEST_REST),
            Slot::FreeAt(at) => Look::SleepUntil(at),
            Slot::Taken => Look::Sleep,
        })
    }

    /// Waits until the disk takes another commit. False: it takes none any more.
    fn wait_for_disk(&self) -> bool {
        self.waiting.block(|_, _| match self.progress.slot(Instant::now()) {
            _ if self.progress.failed().is_some() => Look::GoOn(false),
            Slot::Free | Slot::FreeAt(_) => Look::GoOn(true),
            Slot::Taken => Look::Sleep,
        })
    }

    /// A batch, and what it takes to keep the write-ahead log short.
    fn batch_in_turn(&mut self) -> Committed {
        self.turn.take(&self.db);
        let committed = self.batch();
        if matches!(committed, Committed::No(_)) {
            self.turn.refused(&self.db);
        }
        committed
    }

    fn batch(&self) -> Committed {
        if let Err(error) = self.exec("BEGIN IMMEDIATE") {
            let reason = error.to_string();
            for _ in 0..MAX_BATCH {
                let Some(job) = self.waiting.take(true) else { break };
                let refused = StoreError::Unavailable(reason.clone());
                (job(Err(refused)).answer)(Ok(()));
            }
            return Committed::No(reason);
        }
        let batch = self.run_waiting();
        let size = batch.answers.len();
        let Batch { answers, events, broken, .. } = batch;
        if !self.wait_for_disk() {
            self.sync_failed();
            std::mem::forget(answers);
            return Committed::Unknown;
        }
        let number = self.progress.begin();
        let committed = match broken {
            Some(reason) => self.roll_back(reason),
            None => self.commit(&events),
        };
        if let Committed::No(_) = committed {
            self.subscribers.rolled_back(&events);
        }
        match &committed {
            Committed::Yes => {
                self.subscribers.committed(&events);
                (self.hooks.batch)(size);
                let released = self.feed.committed(number, events);
                let durable = move || {
                    for answer in answers {
                        answer(Ok(()));
                    }
                    released.up_to(number);
                };
                self.disk.sync(number, size, Box::new(durable));
            }
            Committed::No(reason) => {
                // There is nothing to sync, but reads may wait for this number.
                self.disk.sync(number, 0, Box::new(|| {}));
                for answer in answers {
                    answer(Err(StoreError::Unavailable(reason.clone())));
                }
            }
            // Any answer could be wrong: the callers wait until the process is gone, and then know that they do not know.
            Committed::Unknown => std::mem::forget(answers),
        }
        committed
    }

    /// Runs commands until it is time to commit.
    fn run_waiting(&self) -> Batch {
        let expected = self.waiting.len();
        let mut batch = Batch {
            began: Instant::now(),
            expected,
            answers: Vec::with_capacity(expected.min(MAX_BATCH)),
            events: Vec::new(),
            broken: None,
        };
        while let Some(job) = self.next(&batch) {
            match self.one(job) {
                Ok((answer, changed)) => {
                    batch.answers.push(answer);
                    batch.events.extend(changed);
                }
                Err((answer, error)) => {
                    batch.answers.push(answer);
                    batch.broken = Some(error.to_string());
                }
            }
        }
        batch
    }

    /// Runs one command in its savepoint. An error means that the whole transaction is lost.
    fn one(&self, job: Job) -> Result<(Answer, Vec<Event>), (Answer, StoreError)> {
        if let Err(error) = self.exec("SAVEPOINT command") {
            let reason = error.to_string();
            return Err((job(Err(StoreError::Unavailable(reason))).answer, error));
        }
        let tx = Tx::new(&self.db, self.subscribers);
        let ran = job(Ok(&tx));
        let mut events = tx.into_events();
        // SQLite may roll the whole transaction back by itself when the disk is full or broken (https://sqlite.org/lang_transaction.html);
        // on a full disk none of the batch is kept even where it does not.
        let ended = if self.turn.volumes.met(&self.db) || self.db.conn.is_autocommit() {
            Err(StoreError::Unavailable("the disk is full or failing".to_owned()))
        } else if ran.keep {
            self.exec("RELEASE command")
        } else {
            self.subscribers.rolled_back(&std::mem::take(&mut events));
            self.exec("ROLLBACK TO command").and_then(|()| self.exec("RELEASE command"))
        };
        match ended {
            Ok(()) => Ok((ran.answer, events)),
            Err(error) => {
                self.subscribers.rolled_back(&events);
                Err((ran.answer, error))
            }
        }
    }

    fn commit(&self, events: &[Event]) -> Committed {
        let tx = Tx::new(&self.db, self.subscribers);
        if let Err(error) = self.subscribers.before_commit(&tx, events) {
            return self.roll_back(error.to_string());
        }
        match self.db.conn.prepare_cached("COMMIT").and_then(|mut s| s.execute(())) {
            Ok(_) => Committed::Yes,
            Err(error) => {
                use rusqlite::ErrorCode as Code;
                let known = matches!(
                    error.sqlite_error_code(),
                    Some(
                        Code::DiskFull
                            | Code::DatabaseBusy
                            | Code::DatabaseLocked
                            | Code::ConstraintViolation
                    )
                );
                if known {
                    if error.sqlite_error_code() == Some(Code::DiskFull) {
                        self.turn.volumes.met_full();
                    }
                    return self.roll_back(StoreError::from(error).to_string());
                }
                (self.hooks.fatal)(&format!(
                    "a commit failed with an unknown outcome: {error}; restart to find out"
                ));
                Committed::Unknown
            }
        }
    }

    fn roll_back(&self, reason: String) -> Committed {
        if !self.db.conn.is_autocommit()
            && let Err(error) = self.exec("ROLLBACK")
        {
            (self.hooks.fatal)(&format!("a transaction can be neither committed nor rolled back: {error}"));
            return Committed::Unknown;
        }
        tracing::error!(reason, "a batch of commands was rolled back");
        Committed::No(reason)
    }

    fn exec(&self, sql: &str) -> Result<(), StoreError> {
        self.db.conn.prepare_cached(sql)?.execute(())?;
        Ok(())
    }
}
