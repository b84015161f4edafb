//! The one writer: group commit.
//!
//! A thread owns the only write connection. It takes the commands that wait, runs each in a savepoint of one `BEGIN IMMEDIATE`, commits
//! once, tells the hooks what was committed, and only then answers: throughput grows with load, and every answer is durable.
//! It is a thread and not a task because SQLite blocks.

use std::any::Any;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Mutex;
use std::time::Duration;

use tokio::sync::{mpsc, oneshot};

use crate::events::{Event, Subscribers};
use crate::{Db, OpenError, StoreError, Tx};

/// Most commands in one commit: bounds how long the first of them waits for the last.
const MAX_BATCH: usize = 256;
/// Most commands waiting; further ones wait for a place up to [`WAIT_FOR_PLACE`].
const QUEUE: usize = 4096;
const WAIT_FOR_PLACE: Duration = Duration::from_secs(5);

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

enum Message {
    Run(Job),
    Close(oneshot::Sender<Result<(), StoreError>>),
}

#[derive(Debug)]
pub(crate) struct Writer {
    queue: mpsc::Sender<Message>,
    thread: Mutex<Option<std::thread::JoinHandle<()>>>,
}

impl Writer {
    pub(crate) fn spawn(db: Db, subscribers: Subscribers, hooks: Hooks) -> Result<Self, OpenError> {
        let (queue, waiting) = mpsc::channel(QUEUE);
        let thread = std::thread::Builder::new()
            .name("writer".to_owned())
            .spawn(move || {
                let died = catch_unwind(AssertUnwindSafe(|| {
                    Loop { db, subscribers: &subscribers, hooks: &hooks, waiting }.run()
                }));
                if let Err(panic) = died {
                    (hooks.fatal)(&format!("the writer died: {}", panic_text(panic.as_ref())));
                }
            })
            .map_err(|source| OpenError::Io { path: "writer thread".into(), source })?;
        Ok(Self { queue, thread: Mutex::new(Some(thread)) })
    }

    pub(crate) async fn run<T, E, F>(&self, f: F) -> Result<T, E>
    where
        T: Send + 'static,
        E: From<StoreError> + Send + 'static,
        F: FnOnce(&Tx<'_>) -> Result<T, E> + Send + 'static,
    {
        let (reply, answer) = oneshot::channel();
        let job: Job = Box::new(move |tx| {
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
        let full = || StoreError::Unavailable("too many commands are waiting".to_owned());
        let closed = || StoreError::Unavailable("the server is stopping".to_owned());
        tokio::time::timeout(WAIT_FOR_PLACE, self.queue.send(Message::Run(job)))
            .await
            .map_err(|_| full())?
            .map_err(|_| closed())?;
        answer.await.map_err(|_| closed())?
    }

    pub(crate) async fn close(&self) -> Result<(), StoreError> {
        let (reply, closed) = oneshot::channel();
        if self.queue.send(Message::Close(reply)).await.is_err() {
            return Ok(());
        }
        closed.await.unwrap_or(Ok(()))
    }
}

impl Drop for Writer {
    fn drop(&mut self) {
        // The queue closes with its last sender; the thread then ends by itself.
        let (orphan, _) = mpsc::channel(1);
        drop(std::mem::replace(&mut self.queue, orphan));
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
    waiting: mpsc::Receiver<Message>,
}

impl Loop<'_> {
    fn run(mut self) {
        while let Some(first) = self.waiting.blocking_recv() {
            let mut jobs = Vec::new();
            let mut closing = None;
            let mut next = Some(first);
            while let Some(message) = next {
                match message {
                    Message::Run(job) => jobs.push(job),
                    Message::Close(reply) => closing = Some(reply),
                }
                next = if jobs.len() < MAX_BATCH && closing.is_none() {
                    self.waiting.try_recv().ok()
                } else {
                    None
                };
            }
            if !jobs.is_empty() && self.batch(jobs) == Committed::Unknown {
                return;
            }
            if let Some(reply) = closing {
                self.waiting.close();
                let _ = reply.send(self.checkpoint());
                return;
            }
        }
        if let Err(error) = self.checkpoint() {
            tracing::warn!(%error, "could not fold the write-ahead log into the database");
        }
    }

    fn batch(&self, jobs: Vec<Job>) -> Committed {
        if let Err(error) = self.exec("BEGIN IMMEDIATE") {
            let reason = error.to_string();
            for job in jobs {
                let refused = StoreError::Unavailable(reason.clone());
                (job(Err(refused)).answer)(Ok(()));
            }
            return Committed::No(reason);
        }
        let size = jobs.len();
        let mut answers = Vec::with_capacity(size);
        let mut events = Vec::new();
        let mut broken = None;
        for job in jobs {
            if let Some(reason) = &broken {
                let reason: &String = reason;
                answers.push(job(Err(StoreError::Unavailable(reason.clone()))).answer);
                continue;
            }
            match self.one(job) {
                Ok((answer, changed)) => {
                    answers.push(answer);
                    events.extend(changed);
                }
                Err((answer, error)) => {
                    answers.push(answer);
                    broken = Some(error.to_string());
                }
            }
        }
        let committed = match broken {
            Some(reason) => self.roll_back(reason),
            None => self.commit(&events),
        };
        match &committed {
            Committed::Yes => {
                self.subscribers.committed(&events);
                (self.hooks.batch)(size);
                for answer in answers {
                    answer(Ok(()));
                }
            }
            Committed::No(reason) => {
                for answer in answers {
                    answer(Err(StoreError::Unavailable(reason.clone())));
                }
            }
            // Any answer could be wrong: the callers wait until the process is gone, and then know that they do not know.
            Committed::Unknown => std::mem::forget(answers),
        }
        committed
    }

    /// Runs one command in its savepoint. An error means that the whole transaction is lost.
    fn one(&self, job: Job) -> Result<(Answer, Vec<Event>), (Answer, StoreError)> {
        if let Err(error) = self.exec("SAVEPOINT command") {
            let reason = error.to_string();
            return Err((job(Err(StoreError::Unavailable(reason))).answer, error));
        }
        let tx = Tx::new(&self.db);
        let ran = job(Ok(&tx));
        let mut events = tx.into_events();
        // SQLite may roll the whole transaction back by itself when the disk is full or broken (https://sqlite.org/lang_transaction.html);
        // on a full disk none of the batch is kept even where it does not.
        if self.db.take_full() || self.db.conn.is_autocommit() {
            let lost = StoreError::Unavailable("the disk is full or failing".to_owned());
            return Err((ran.answer, lost));
        }
        let ended = if ran.keep {
            self.exec("RELEASE command")
        } else {
            events.clear();
            self.exec("ROLLBACK TO command").and_then(|()| self.exec("RELEASE command"))
        };
        match ended {
            Ok(()) => Ok((ran.answer, events)),
            Err(error) => Err((ran.answer, error)),
        }
    }

    fn commit(&self, events: &[Event]) -> Committed {
        let tx = Tx::new(&self.db);
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

    fn checkpoint(&self) -> Result<(), StoreError> {
        self.db.conn.query_row("PRAGMA wal_checkpoint(TRUNCATE)", (), |_| Ok(())).map_err(StoreError::from)
    }
}

fn panic_text(panic: &(dyn Any + Send)) -> &str {
    panic
        .downcast_ref::<&str>()
        .copied()
        .or_else(|| panic.downcast_ref::<String>().map(String::as_str))
        .unwrap_or("no message")
}
