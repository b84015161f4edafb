//! The log of one attempt, as its writers see it.

use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, PoisonError, RwLock};
use std::time::{Duration, Instant};

use minitower_client::wire::runs::{LogLine, Stream};
use tokio::sync::futures::Notified;
use tokio::sync::{Mutex, Notify};

use super::ends::Ends;
use super::line::{Line, Loss};
use super::lines::LineCutter;
use super::mask::Mask;
use super::spool::{Server, Spool};

/// How long lines wait for a control plane that takes none, before they go to disk.
const ROOM_WITHIN: Duration = Duration::from_secs(1);

/// The log of one attempt. Cheap to clone.
#[derive(Debug, Clone)]
pub(crate) struct RunLog {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    queue: Arc<Mutex<Queue>>,
    mask: RwLock<Arc<Mask>>,
    /// Lines were added.
    arrived: Notify,
    /// Lines were taken.
    taken: Notify,
    /// Whether the last delivery went well.
    reachable: AtomicBool,
}

#[derive(Debug)]
struct Queue {
    ends: Ends,
    spool: Spool,
}

impl RunLog {
    /// Begins a log of at most `limit` bytes, whose undelivered lines may overflow into `folder`.
    pub(crate) fn new(folder: &Path, limit: Option<u64>) -> Self {
        let queue = Queue { ends: Ends::new(limit), spool: Spool::new(folder.to_owned()) };
        let shared = Shared {
            queue: Arc::new(Mutex::new(queue)),
            mask: RwLock::default(),
            arrived: Notify::new(),
            taken: Notify::new(),
            reachable: AtomicBool::new(true),
        };
        Self { shared: Arc::new(shared) }
    }

    /// From now on these secrets are masked, in lines of the runner and of programs that start after this.
    pub(crate) fn hide<'s>(&self, secrets: impl IntoIterator<Item = &'s str>) {
        let mut mask = self.shared.mask.write().unwrap_or_else(PoisonError::into_inner);
        *mask = Arc::new(mask.and(secrets));
    }

    /// What masks the secrets that are hidden so far.
    pub(super) fn mask(&self) -> Arc<Mask> {
        Arc::clone(&self.shared.mask.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// The text without the secrets that are hidden.
    pub(crate) fn masked(&self, text: &str) -> String {
        String::from_utf8_lossy(&self.mask().apply(text.as_bytes())).into_owned()
    }

    /// Adds a line of the runner itself.
    pub(crate) async fn note(&self, text: impl Into<String>) {
        let mut cutter = LineCutter::new(self.mask());
        let mut lines = Vec::new();
        cutter.push(text.into().as_bytes(), Instant::now(), &mut lines);
        cutter.finish(&mut lines);
        self.append(Stream::Stderr, lines).await;
    }

    /// Ends the log: no lines are added any more, so its end can be sent.
    pub(crate) async fn finish(&self) {
        let lines = self.shared.queue.lock().await.ends.finish(crate::clock::wall());
        self.queue(lines).await;
    }

    /// What of the log was lost, and why.
    pub(crate) async fn lost(&self) -> Option<String> {
        self.shared.queue.lock().await.spool.lost().map(ToString::to_string)
    }

    /// Counts lines that nobody will read.
    pub(crate) async fn lose(&self, loss: &Loss) {
        self.shared.queue.lock().await.spool.lose(loss);
    }

    /// Adds lines.
    pub(super) async fn append(&self, stream: Stream, texts: Vec<String>) {
        if texts.is_empty() {
            return;
        }
        let logged_at = crate::clock::wall();
        let lines = texts.into_iter().map(|text| Line { stream, text, logged_at }).collect();
        let lines = self.shared.queue.lock().await.ends.pass(lines, logged_at);
        self.queue(lines).await;
    }

    /// Queues lines for delivery; waits while there is no room although the control plane takes lines.
    async fn queue(&self, mut lines: Vec<Line>) {
        let mut server = Server::Answers;
        loop {
            if !self.shared.reachable.load(Ordering::Relaxed) {
                server = Server::Away;
            }
            // Registered before the look at the queue, so that nothing taken since is missed.
            let taken = self.shared.taken.notified();
            let in_memory = |queue: &Queue| queue.spool.has_room() || server == Server::Answers;
            match self.with(in_memory, move |queue| queue.spool.push(lines, server)).await {
                Ok(()) => break,
                Err(back) => lines = back,
            }
            server = match tokio::time::timeout(ROOM_WITHIN, taken).await {
                Ok(()) => Server::Answers,
                Err(_) => Server::Slow,
            };
        }
        self.shared.arrived.notify_one();
    }

    /// Takes the oldest lines not yet delivered, at most `most`.
    pub(super) async fn take(&self, most: usize) -> Vec<LogLine> {
        let at_hand = |queue: &Queue| queue.spool.is_at_hand();
        let lines = self.with(at_hand, move |queue| queue.spool.take(most)).await;
        if !lines.is_empty() {
            self.shared.taken.notify_waiters();
        }
        lines
    }

    /// Waits until lines are added after this call.
    pub(super) fn arrived(&self) -> Notified<'_> {
        self.shared.arrived.notified()
    }

    /// Notes whether the last delivery went well.
    pub(super) fn set_reachable(&self, reachable: bool) {
        self.shared.reachable.store(reachable, Ordering::Relaxed);
    }

    /// How many lines could be taken without the disk.
    pub(super) async fn waiting(&self) -> usize {
        self.shared.queue.lock().await.spool.waiting()
    }

    /// Works on the queue. Work that is not `quick` may touch the disk, and runs where it cannot delay heartbeats.
    async fn with<T: Send + 'static>(
        &self,
        quick: impl FnOnce(&Queue) -> bool,
        work: impl FnOnce(&mut Queue) -> T + Send + 'static,
    ) -> T {
        let mut queue = Arc::clone(&self.shared.queue).lock_owned().await;
        if quick(&queue) {
            return work(&mut queue);
        }
        match tokio::task::spawn_blocking(move || work(&mut queue)).await {
            Ok(done) => done,
            // It cannot be cancelled, so that it panicked: so do we.
            Err(error) => std::panic::resume_unwind(error.into_panic()),
        }
    }
}
